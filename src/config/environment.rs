//! The environment as a source of settings. This is the one place that reads it.

use super::{
    key::squeeze_variable,
    origin::{Note, Origin},
    secret,
    source::{Entry, Layer},
    table,
};

/// The environment of this process. Names and values that are not UTF-8 are kept as near as possible.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// The value of a variable with a fixed name. An empty one counts as absent.
pub(crate) fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment.iter().rfind(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
}

/// Every variable is a setting under its squeezed name. The last of several names that
/// squeeze to the same counts, as in Milvus.
pub(crate) fn layer(environment: &[(String, String)], notes: &mut Vec<Note>) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in environment {
        if name.is_empty() {
            continue;
        }
        let squeezed = squeeze_variable(name);
        let read = table::by_name(&squeezed).is_some() || table::is_fixed_variable(name);
        if is_service_link(name, value) {
            if read {
                notes.push(Note::warn(format!(
                    "environment variable {name} holds the address of a Kubernetes service, not a setting: ignored"
                )));
            }
            continue;
        }
        layer.forms.insert(name.clone());
        let entry =
            Entry { spelled: name.clone(), value: value.clone(), origin: Origin::Variable(name.clone()) };
        let Some(earlier) = layer.entries.insert(squeezed, entry) else { continue };
        if read && earlier.value != *value {
            notes.push(Note::warn(format!(
                "environment variables {} and {name} are the same setting: {} counts",
                earlier.spelled,
                if secret::is_secret(name) { name.clone() } else { format!("{name}={value}") },
            )));
        }
    }
    layer
}

/// Kubernetes sets `<SERVICE>_PORT=tcp://10.0.0.1:9000` in every pod for every service of its
/// namespace; one named `minio` or `rootcoord` would be taken for the setting of that name.
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_last_of_two_spellings_counts_and_is_named() {
        let mut notes = Vec::new();
        let layer = layer(&environment(&[("ETCD_ROOTPATH", "a"), ("ETCD_ROOT_PATH", "b")]), &mut notes);
        assert_eq!(layer.entries["etcdrootpath"].value, "b");
        assert_eq!(
            notes[0].text,
            "environment variables ETCD_ROOTPATH and ETCD_ROOT_PATH are the same setting: ETCD_ROOT_PATH=b counts"
        );
    }

    #[test]
    fn kubernetes_service_links_are_no_settings() {
        let mut notes = Vec::new();
        let pairs = [
            ("ROOTCOORD_PORT", "tcp://10.0.0.1:53100"),
            ("PULSAR_PORT", "tcp://10.0.0.2:6650"),
            ("X_PORT", "tcp://1"),
        ];
        let layer = layer(&environment(&pairs), &mut notes);
        assert!(layer.entries.is_empty());
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn an_empty_fixed_variable_is_absent() {
        let set = environment(&[("A", ""), ("B", "1"), ("B", "2")]);
        assert_eq!(variable(&set, "A"), None);
        assert_eq!(variable(&set, "B"), Some("2"));
        assert_eq!(variable(&set, "C"), None);
    }
}
