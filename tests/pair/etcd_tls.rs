//! etcd behind TLS.

use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use milvus_coord_testbed::{
    bed::Bed,
    certificates::{Authority, Pair},
    etcd::{Etcd, Options, Tls},
    instance::Plan,
};
use tempfile::TempDir;

use crate::bounds::{FAST, PROGRAM, SOON};

struct Secured {
    bed: Bed,
    authority: Authority,
    client: Pair,
    _folder: TempDir,
}

/// An etcd that shows a certificate and asks for one.
async fn secured() -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (server, client) = (authority.issue("server"), authority.issue("client"));
    let tls = Tls { cert: server.cert, key: server.key, client_ca: Some(authority.certificate()) };
    let etcd = Etcd::start(Options { tls: Some(tls), ..Options::default() }).await.unwrap();
    let mut bed = Bed::around(PROGRAM, etcd);
    let read = |path| std::fs::read(path).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read(authority.certificate())))
        .identity(Identity::from_pem(read(client.cert.clone()), read(client.key.clone())));
    bed.options = ConnectOptions::new().with_tls(tls).with_timeout(Duration::from_secs(5));
    Secured { bed, authority, client, _folder: folder }
}

fn with_certificates(plan: Plan, own: &Pair, authority: &Authority) -> Plan {
    plan.set("etcd.ssl.enabled", true)
        .set("etcd.ssl.tlsCert", own.cert.display())
        .set("etcd.ssl.tlsKey", own.key.display())
        .set("etcd.ssl.tlsCACert", authority.certificate().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_with_certificates_serves_and_takes_over() {
    let Secured { bed, authority, client: own, _folder } = secured().await;
    let plan = |name| with_certificates(bed.plan(name), &own, &authority);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    first.kill().await;
    second.serves(FAST).await;
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_an_unknown_authority_is_refused_and_named() {
    let Secured { bed, client: own, _folder, .. } = secured().await;
    let stranger = Authority::new(_folder.path(), "stranger");
    let instance = with_certificates(bed.plan("only"), &own, &stranger).start();
    instance.says("certificate", SOON).await;
    assert_eq!(bed.sessions().await.all().await.unwrap(), []);
    instance.terminate();
    assert_eq!(instance.process.exit(SOON).await.code, Some(0));
}
