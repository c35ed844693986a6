//! Users, tokens that expire, and encryption.

use std::time::Duration;

use milvus_coord::{
    etcd::{
        Etcd,
        call::{CallError, Refusal},
        lease::{LeaseKeeper, LeaseState, Pulse},
        mirror::{KeyRange, Mirror, MirrorPlan},
        settings::{BadSettings, EtcdSettings, Pem, TlsSettings, TlsVersion},
        txn::{Guard, Op, Txn, TxnOutcome},
    },
    ids::Revision,
};
use milvus_coord_testbed::{
    certificates::Authority,
    etcd::{Etcd as Servers, Options, Tls},
};
use tempfile::TempDir;

use crate::support::{LIMIT, PATIENCE, connect_with, wait_until};

/// How soon a token expires, in seconds.
const TOKEN_TTL: u64 = 2;

async fn with_users(options: Options) -> Servers {
    let servers = Servers::start(options).await.unwrap();
    let mut client = servers.client().await.unwrap();
    client.user_add("root", "right", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    servers
}

fn log_in(servers: &Servers, password: &str) -> Etcd {
    let mut settings = EtcdSettings::new(servers.endpoints());
    settings.auth = Some(("root".to_owned(), password.to_owned()));
    connect_with(settings)
}

async fn put(etcd: &Etcd, key: &str) -> Revision {
    let txn =
        Txn { guards: vec![Guard::Absent(key.into())], then: vec![Op::put(key, "v")], otherwise: vec![] };
    match etcd.txn(txn, LIMIT).await.unwrap() {
        TxnOutcome::Done(header) => header.revision,
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_denial_and_not_an_outage() {
    let servers = with_users(Options::default()).await;
    let etcd = log_in(&servers, "wrong");
    for error in [
        etcd.read("k", LIMIT).await.unwrap_err(),
        etcd.txn(Txn { then: vec![Op::put("k", "v")], ..Txn::default() }, LIMIT).await.unwrap_err(),
    ] {
        assert!(matches!(error.refusal(), Some(Refusal::Denied(_))), "{error:?}");
    }
    let nobody = connect_with(EtcdSettings::new(servers.endpoints()));
    let error = nobody.read("k", LIMIT).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_user_does_no_harm_where_etcd_asks_for_none() {
    let servers = Servers::single().await.unwrap();
    log_in(&servers, "any").read("k", LIMIT).await.unwrap();
}

#[tokio::test]
async fn tokens_that_expired_or_were_forgotten_are_renewed() {
    let mut servers = with_users(Options::default().arg(format!("--auth-token-ttl={TOKEN_TTL}"))).await;
    let etcd = log_in(&servers, "right");
    let pulse = Pulse::new(etcd.clock().clone());
    let keeper = LeaseKeeper::grant(&etcd, Duration::from_secs(3), pulse.clone(), LIMIT).await.unwrap();
    let range = KeyRange::prefix("p/");
    let mirror = Mirror::start(
        etcd.clone(),
        MirrorPlan { watch: range.clone(), wanted: vec![range] },
        Box::new(|_| {}),
    );
    wait_until(&mirror, |state| state.in_sync).await;
    let ticking = async {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            pulse.tick();
        }
    };
    let working = async {
        for round in 0..2 {
            // The event that is waited for is the token's end.
            tokio::time::sleep(Duration::from_secs(TOKEN_TTL + 1)).await;
            let revision = put(&etcd, &format!("p/expired/{round}")).await;
            wait_until(&mirror, |state| state.revision >= revision).await;
            etcd.read("k", LIMIT).await.unwrap();
        }
        // Tokens live in the memory of the servers.
        servers.stop(0).unwrap();
        servers.start_again(0).await.unwrap();
        let revision = put(&etcd, "p/restarted").await;
        wait_until(&mirror, |state| state.revision >= revision && state.in_sync).await;
        keeper
    };
    let keeper = tokio::select! {
        keeper = tokio::time::timeout(PATIENCE, working) => keeper.unwrap(),
        () = ticking => unreachable!(),
    };
    assert!(matches!(*keeper.state().borrow(), LeaseState::Held { .. }));
}

struct Encrypted {
    folder: TempDir,
    authority: Authority,
    servers: Servers,
}

async fn encrypted() -> Encrypted {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let pair = authority.issue("etcd");
    let tls = Tls { cert: pair.cert, key: pair.key, client_ca: Some(authority.certificate()) };
    let servers = Servers::start(Options { tls: Some(tls), ..Options::default() }).await.unwrap();
    Encrypted { folder, authority, servers }
}

impl Encrypted {
    fn settings(&self, authority: &Authority) -> TlsSettings {
        let pair = authority.issue("client");
        TlsSettings {
            ca: Pem::File(self.authority.certificate()),
            cert: Some(Pem::File(pair.cert)),
            key: Some(Pem::File(pair.key)),
            min_version: TlsVersion::V1_3,
        }
    }

    async fn read(&self, endpoint: &str, tls: TlsSettings) -> Result<(), CallError> {
        let mut settings = EtcdSettings::new([endpoint]);
        settings.tls = Some(tls);
        let etcd = connect_with(settings);
        etcd.read("k", Duration::from_secs(3)).await.map(|_| ())
    }
}

#[tokio::test]
async fn both_ends_show_certificates() {
    let bed = encrypted().await;
    let address = format!("127.0.0.1:{}", bed.servers.client_port(0));
    bed.read(&address, bed.settings(&bed.authority)).await.unwrap();
    // The name is checked against the certificate, for each member its own.
    let name = format!("localhost:{}", bed.servers.client_port(0));
    bed.read(&name, bed.settings(&bed.authority)).await.unwrap();
    let elsewhere = format!("127.0.0.2:{}", bed.servers.client_port(0));
    bed.read(&elsewhere, bed.settings(&bed.authority)).await.unwrap_err();

    let text = |pem: &Pem| match pem {
        Pem::File(path) => Pem::from(std::fs::read_to_string(path).unwrap()),
        Pem::Text(_) => unreachable!(),
    };
    let files = bed.settings(&bed.authority);
    let inline = TlsSettings {
        ca: text(&files.ca),
        cert: files.cert.as_ref().map(text),
        key: files.key.as_ref().map(text),
        min_version: TlsVersion::V1_2,
    };
    bed.read(&address, inline).await.unwrap();
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let bed = encrypted().await;
    let address = format!("127.0.0.1:{}", bed.servers.client_port(0));
    let stranger = Authority::new(bed.folder.path(), "theirs");

    let mut wrong_server = bed.settings(&bed.authority);
    wrong_server.ca = Pem::File(stranger.certificate());
    let error = bed.read(&address, wrong_server).await.unwrap_err();
    assert!(error.certainly_not_applied(), "{error:?}");

    bed.read(&address, bed.settings(&stranger)).await.unwrap_err();
    let nameless = TlsSettings { cert: None, key: None, ..bed.settings(&bed.authority) };
    bed.read(&address, nameless).await.unwrap_err();
}

#[tokio::test]
async fn unusable_certificates_are_an_error_at_start() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    let good = TlsSettings {
        ca: Pem::File(authority.certificate()),
        cert: None,
        key: None,
        min_version: TlsVersion::V1_3,
    };
    let new = |tls: TlsSettings| {
        let mut settings = EtcdSettings::new(["localhost"]);
        settings.tls = Some(tls);
        let clock = std::sync::Arc::new(milvus_coord::clock::SystemClock);
        Etcd::new(settings, crate::support::tcp(), clock)
    };
    new(good.clone()).unwrap();
    let pair = authority.issue("client");
    for bad in [
        TlsSettings { ca: Pem::File(folder.path().join("missing.pem")), ..good.clone() },
        TlsSettings { ca: Pem::File(pair.key.clone()), ..good.clone() },
        TlsSettings { ca: Pem::Text("-----BEGIN CERTIFICATE-----\nrubbish".to_owned()), ..good.clone() },
        TlsSettings { cert: Some(Pem::File(pair.cert.clone())), ..good.clone() },
        TlsSettings { key: Some(Pem::File(pair.key.clone())), ..good.clone() },
    ] {
        let error = new(bad).unwrap_err();
        assert!(matches!(error, BadSettings::Tls { .. }), "{error}");
    }
}
