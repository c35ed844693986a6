//! The compiled interface must be, fact by fact, that of Milvus 2.3.5.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

fn enum_facts(scope: &str, e: &EnumDescriptorProto, facts: &mut BTreeSet<String>) {
    for value in &e.value {
        facts.insert(format!("enum {scope}{} {} = {}", e.name(), value.name(), value.number()));
    }
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn message_facts(scope: &str, message: &DescriptorProto, facts: &mut BTreeSet<String>) {
    let full = format!("{scope}{}", message.name());
    facts.insert(format!("message {full}"));
    for field in &message.field {
        let label = match field.label() {
            Label::Optional => "optional",
            Label::Required => "required",
            Label::Repeated => "repeated",
        };
        let mut fact =
            format!("field {full} {} = {} {label} {}", field.name(), field.number(), type_name(field));
        if let Some(index) = field.oneof_index {
            fact += &format!(" oneof={}", message.oneof_decl[index as usize].name());
        }
        if let Some(packed) = field.options.as_ref().and_then(|options| options.packed) {
            fact += &format!(" packed={packed}");
        }
        facts.insert(fact);
    }
    let inner = format!("{full}.");
    message.nested_type.iter().for_each(|nested| message_facts(&inner, nested, facts));
    message.enum_type.iter().for_each(|e| enum_facts(&inner, e, facts));
}

fn compiled_facts() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(milvus_proto::DESCRIPTORS).expect("own descriptors decode");
    let mut facts = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("milvus.proto.")) {
        let scope = format!("{}.", file.package());
        for service in &file.service {
            for method in &service.method {
                let stream = |streaming| if streaming { "stream " } else { "" };
                facts.insert(format!(
                    "rpc {scope}{} {} ({}{}) -> ({}{})",
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type().trim_start_matches('.'),
                    stream(method.server_streaming()),
                    method.output_type().trim_start_matches('.'),
                ));
            }
        }
        file.enum_type.iter().for_each(|e| enum_facts(&scope, e, &mut facts));
        file.message_type.iter().for_each(|message| message_facts(&scope, message, &mut facts));
    }
    facts
}

#[test]
fn interface_is_that_of_milvus() {
    let wanted: BTreeSet<String> = include_str!("../facts.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(wanted.len(), 2948);
    let compiled = compiled_facts();
    let missing: Vec<_> = wanted.difference(&compiled).collect();
    let unknown: Vec<_> = compiled.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:#?}\nnot in Milvus: {unknown:#?}");
}
