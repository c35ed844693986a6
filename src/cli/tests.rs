use clap::{CommandFactory, Parser, error::ErrorKind};

use super::{args::*, go_flags::translate};
use crate::ids::{Role, ServerId};

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(translate(line.split(' ').map(Into::into))).map(|cli| cli.command)
}

#[track_caller]
fn run_args(line: &str) -> RunArgs {
    match parse(line).unwrap() {
        Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_ways_to_start_milvus_work() {
    for line in [
        "milvus run rootcoord -alias x",
        "milvus run rootcoord -alias=x",
        "milvus-coord run rootcoord --alias x",
        "milvus run --run-with-subprocess rootcoord --alias=x",
    ] {
        let args = run_args(line);
        assert_eq!((args.role, args.alias.as_str()), (Role::RootCoord, "x"), "{line}");
    }
    assert_eq!(run_args("milvus run rootcoord").alias, "");
    assert_eq!(run_args("m run rootcoord --config /a").config.config.unwrap().to_str(), Some("/a"));
}

#[test]
fn roles_that_cannot_be_run_say_why() {
    for (role, what) in [
        ("indexcoord", "indexcoord is part of datacoord"),
        ("datacoord", "datacoord is not in this version yet"),
        ("proxy", "proxy is run by Milvus itself"),
        ("nonsense", "Unknown server type = nonsense"),
    ] {
        let error = parse(&format!("milvus run {role}")).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn the_other_commands_take_their_arguments() {
    assert!(matches!(parse("m status --json").unwrap(), Command::Status(StatusArgs { json: true, .. })));
    match parse("m switchover datacoord --to 7").unwrap() {
        Command::Switchover(args) => assert_eq!((args.role, args.to), (Role::DataCoord, Some(ServerId(7)))),
        other => panic!("{other:?}"),
    }
    match parse("m health querycoord --address h:1").unwrap() {
        Command::Health(args) => assert_eq!(args.address.as_deref(), Some("h:1")),
        other => panic!("{other:?}"),
    }
    match parse("m history rootcoord --limit 3").unwrap() {
        Command::History(args) => assert_eq!((args.limit, args.json), (3, false)),
        other => panic!("{other:?}"),
    }
    for (arguments, seconds) in
        [("", 3600), (" --for 90s", 90), (" --for 1h30m", 5400), (" --for 24h", 86_400)]
    {
        match parse(&format!("m pause rootcoord{arguments}")).unwrap() {
            Command::Pause(args) => assert_eq!(args.length.as_secs(), seconds),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(parse("m resume rootcoord").unwrap(), Command::Resume(_)));
    for wrong in [
        "m switchover rootcoord --to 0",
        "m health rootcoord --address h",
        "m completions csh",
        "m stop x",
        "m pause rootcoord --for 0s",
        "m pause rootcoord --for -5m",
        "m pause rootcoord --for 25h",
        "m pause rootcoord --for 30",
        "m resume",
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
    }
}

#[test]
fn without_arguments_it_helps() {
    for line in ["milvus", "milvus run"] {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    }
}

#[test]
fn help_reads_well() {
    let mut text = String::new();
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["history", "--help"],
        &["pause", "--help"],
        &["health", "--help"],
        &["config", "check", "--help"],
    ] {
        let command = Cli::command().term_width(100).max_term_width(100);
        let line = ["milvus-coord"].iter().chain(arguments);
        let help = command.try_get_matches_from(line).unwrap_err();
        text.push_str(&format!("$ milvus-coord {}\n{help}\n", arguments.join(" ")));
    }
    insta::assert_snapshot!(text);
}
