//! The users of the cluster tests find out a cluster that lies.

use std::time::Duration;

use milvus_coord_testbed::{or_skip, python::Python};

#[tokio::test]
async fn the_users_find_every_broken_promise_and_no_other() {
    let python = or_skip!(Python::find());
    let tests = python.start::<&str>("test_users", &[]);
    let exit = tests.exit(Duration::from_secs(120)).await;
    assert_eq!(exit.code, Some(0), "{}", tests.process.log.tail(60));
}
