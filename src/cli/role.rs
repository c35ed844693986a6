//! Roles as arguments.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
    error::ErrorKind,
};

use crate::ids::Role;

/// The roles that this version can run.
pub(super) const RUNNABLE: [Role; 1] = [Role::RootCoord];

/// What Milvus itself runs.
const OTHERS: [&str; 7] =
    ["proxy", "querynode", "datanode", "indexnode", "standalone", "embedded", "mixture"];

/// Any coordinator.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyRole;

/// A coordinator that this version can run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunnableRole;

/// What keeps a name from being a role to run. `None`: nothing does.
fn objection(name: &str) -> Option<String> {
    match Role::from_name(name) {
        Some(role) if RUNNABLE.contains(&role) => None,
        Some(role) => Some(format!("{role} is not in this version yet; it can run {}", list(&RUNNABLE))),
        None => Some(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    match name {
        "indexcoord" => "indexcoord is part of datacoord: there is nothing to run for it".into(),
        "" => format!("no server type is given; there are {}", list(&Role::ALL)),
        _ if OTHERS.contains(&name) => {
            format!(
                "{name} is run by Milvus itself; milvus-coord takes the place of its coordinators: {}",
                list(&Role::ALL)
            )
        }
        _ => format!("Unknown server type = {name}; there are {}", list(&Role::ALL)),
    }
}

fn list(roles: &[Role]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
}

fn refuse(command: &Command, what: &str) -> Error {
    Error::raw(ErrorKind::InvalidValue, format!("{what}\n")).with_cmd(command)
}

impl TypedValueParser for AnyRole {
    type Value = Role;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Role, Error> {
        let name = StringValueParser::new().parse_ref(command, argument, value).unwrap_or_default();
        Role::from_name(&name).ok_or_else(|| refuse(command, &unknown(&name)))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(Role::ALL.into_iter().map(|role| PossibleValue::new(role.name()))))
    }
}

impl TypedValueParser for RunnableRole {
    type Value = Role;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Role, Error> {
        let role = AnyRole.parse_ref(command, argument, value)?;
        match objection(role.name()) {
            None => Ok(role),
            Some(what) => Err(refuse(command, &what)),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(RUNNABLE.into_iter().map(|role| PossibleValue::new(role.name()))))
    }
}
