//! `config check`, `config defaults`, `completions` and help, as an operator meets them.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-coord");

/// The program with nothing of this machine's environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().env("MILVUSCONF", "/nonexistent").stdin(Stdio::null());
    command
}

#[track_caller]
fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(&command(arguments).output().unwrap())
}

#[test]
fn check_shows_every_value_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("milvus.yaml", "etcd:\n  rootPath: there\n  auth: {password: hunter2}\n"),
        ("user.yaml", "rootCoord:\n  port: 1\n  prot: 2\n"),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let output =
        command(&["config", "check", "--config", path]).env("ETCD_ENDPOINTS", "e:1").output().unwrap();
    let (code, out, err) = outcome(&output);
    assert_eq!(code, 0, "{err}");
    let without_padding = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = out.lines().map(|line| without_padding(line).replace(path, "DIR")).collect();
    for expected in [
        "# read DIR/milvus.yaml",
        "# read DIR/user.yaml",
        "etcd.endpoints: e:1 # environment variable ETCD_ENDPOINTS",
        "etcd.rootPath: there # DIR/milvus.yaml:2",
        "etcd.auth.password: ****** # DIR/milvus.yaml:3",
        "rootCoord.port: 1 # DIR/user.yaml:2",
        "queryCoord.port: 19531 # default",
        "rootCoord.ip: # default",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}\n{out}");
    }
    assert_eq!(
        err.replace(path, "DIR"),
        "warning: DIR/user.yaml:3: unknown key rootCoord.prot; did you mean rootCoord.port?\n"
    );
}

#[test]
fn check_fails_with_every_problem_and_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.yaml");
    fs::write(&file, "dataCoord:\n  port: many\nlog:\n  level: loud\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, err) = run(&["config", "check", "--config", file]);
    assert_eq!(code, 2);
    assert_eq!(
        err.replace(file, "FILE"),
        "error: FILE:4: log.level is \"loud\"; it must be one of debug, info, warn, error, dpanic, panic, fatal\n\
         error: FILE:2: dataCoord.port is \"many\"; it must be a whole number from 0 to 65535\n"
    );
}

#[test]
fn check_names_a_missing_or_broken_file() {
    let (code, _, err) = run(&["config", "check", "--config", "/nonexistent/x.yaml"]);
    assert_eq!(
        (code, err.as_str()),
        (2, "error: /nonexistent/x.yaml: No such file or directory (os error 2)\n")
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("milvus.yaml"), "a: [\n").unwrap();
    let (code, _, err) = run(&["config", "check", "--config", folder.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(err.contains("milvus.yaml:2: not valid YAML"), "{err}");
}

#[test]
fn the_printed_defaults_are_a_configuration_without_faults() {
    let (code, defaults, _) = run(&["config", "defaults"]);
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("milvus.yaml");
    fs::write(&file, &defaults).unwrap();
    let (code, _, err) = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(!err.contains("warning"), "{err}");
}

#[test]
fn completions_are_for_the_name_that_it_is_called_by() {
    for (shell, mark) in [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c")] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(mark) && out.contains("milvus-coord") && out.contains("switchover"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let milvus = folder.path().join("milvus");
    symlink(PROGRAM, &milvus).unwrap();
    let output = Command::new(&milvus).args(["completions", "fish"]).env_clear().output().unwrap();
    let (_, out, _) = outcome(&output);
    assert!(out.contains("complete -c milvus -n"), "{out}");
    // The script must be one that the shell can read.
    if Path::new("/bin/bash").exists() {
        let script = folder.path().join("script");
        fs::write(&script, run(&["completions", "bash"]).1).unwrap();
        let status = Command::new("/bin/bash").args([OsStr::new("-n"), script.as_os_str()]).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn a_call_without_arguments_helps_and_is_no_failure() {
    for arguments in [&[][..], &["run"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (0, ""));
        assert!(err.contains("Usage: milvus-coord"), "{err}");
    }
    let (code, out, _) = run(&["run", "-help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Exit codes:"), "{out}");
}

#[test]
fn the_version_is_told() {
    let version = format!("milvus-coord {}\n", env!("CARGO_PKG_VERSION"));
    for flag in ["--version", "-V", "-version"] {
        assert_eq!(run(&[flag]), (0, version.clone(), String::new()));
    }
}

#[test]
fn wrong_arguments_are_refused_with_code_2() {
    for (arguments, what) in [
        (
            &["run", "indexcoord"][..],
            "error: indexcoord is part of datacoord: there is nothing to run for it\n",
        ),
        (&["run", "querycoord"], "error: querycoord is not in this version yet; it can run rootcoord\n"),
        (
            &["run", "datacoord", "-alias", "x"],
            "error: datacoord is not in this version yet; it can run rootcoord\n",
        ),
        (
            &["run", "nothing"],
            "error: Unknown server type = nothing; there are rootcoord, datacoord, querycoord\n",
        ),
        (&["frobnicate"], "error: unrecognized subcommand 'frobnicate'\n"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(err.starts_with(what), "{err}");
    }
}
