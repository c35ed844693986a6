//! The lines by which operators of Milvus follow a standby and a takeover: those of its
//! guide, and those of 2.3.5 itself, in order.

use milvus_coord_testbed::{bed::Bed, instance::Instance, log::Mark};

use crate::bounds::{FAST, PROGRAM, SOON};

const STANDBY: &[&str] = &[
    r#"["serverName: rootcoord enter STANDBY mode"]"#,
    r#"["serverName: rootcoord is in STANDBY ..."]"#,
    r#"["ACTIVE rootcoord has already been registered"]"#,
    r#"["rootcoord start to watch ACTIVE key by-dev/meta/session/rootcoord"]"#,
];

const TAKEOVER: &[&str] = &[
    r#"["stop watching ACTIVE key"]"#,
    r#"["stop watching ACTIVE key by-dev/meta/session/rootcoord"]"#,
    r#"["start retrying to register as ACTIVE service..."]"#,
    r#"["register ACTIVE service successfully"] [ServerID="#,
    r#"["register ACTIVE rootcoord"]"#,
    r#"["quit STANDBY mode, this node will become ACTIVE"]"#,
    r#"["serverName: rootcoord quit STANDBY mode, this node will become ACTIVE, ID: "#,
    r#"["rootcoord switch from standby to active, activating"]"#,
    r#"["RootCoord switch from standby to active, activating"]"#,
    r#"["RootCoord meta table reload done"]"#,
    r#"["update rootcoord state"] [state=Healthy]"#,
    r#"["RootCoord startup success"]"#,
    r#"["RootCoord Register Finished"]"#,
];

/// Every expected piece stands in a line at INFO, in this order, from `mark` on.
fn assert_in_order(instance: &Instance, mark: Mark, expected: &[&str]) {
    let lines = instance.process.log.since(mark);
    let mut rest = lines.iter();
    for piece in expected {
        let found = rest.find(|line| line.text.contains(piece));
        let found = found
            .unwrap_or_else(|| panic!("no {piece}, or not in its place:\n{}", instance.process.log.tail(60)));
        assert!(found.text.contains("] [INFO] ["), "{}", found.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_and_a_takeover_write_the_lines_that_operators_know() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    second.says("start to watch ACTIVE key", SOON).await;
    assert_in_order(&second, Mark::default(), STANDBY);
    let mark = second.process.log.mark();
    first.kill().await;
    second.serves(FAST).await;
    second.says("RootCoord Register Finished", SOON).await;
    assert_in_order(&second, mark, TAKEOVER);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_line_comes_again_and_again() {
    let bed = Bed::new(PROGRAM).await;
    let (_first, second) = bed.pair().await;
    let mark = second.process.log.mark();
    // Every ten seconds.
    second.process.log.wait(mark, "serverName: rootcoord is in STANDBY ...", SOON).await;
}
