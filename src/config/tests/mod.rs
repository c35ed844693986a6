//! What an operator can rely on, told with whole configurations.

mod checking;
mod dynamic;
mod environments;
mod names;
mod precedence;
mod refusals;
mod secrets;
mod table_and_settings;

use std::time::Duration;

use proptest::prelude::*;

use super::{
    reader::Reader,
    testing::{self, folder, sources, store},
    *,
};

const SECRET: &str = "hunter2";

#[track_caller]
fn load(file: &str, environment: &[(&str, &str)]) -> Config {
    let folder = folder(file);
    Config::load(&sources(&folder, environment), Role::RootCoord).unwrap()
}

/// The problems without the temporary folder's name.
#[track_caller]
fn refused(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(file);
    let error = Config::load(&sources(&folder, environment), Role::RootCoord).unwrap_err();
    let path = format!("{}/", folder.path().display());
    error.to_string().lines().map(|line| line.replace(&path, "")).collect()
}
