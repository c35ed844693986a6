//! What all tests of the etcd layer need.

use std::{io, sync::Arc, time::Duration};

use milvus_coord::{
    clock::SystemClock,
    etcd::{
        Etcd,
        mirror::{Mirror, MirrorState},
        settings::EtcdSettings,
    },
    ids::Revision,
    net::{BoxFuture, BoxIo, Dial, Tcp},
};
use milvus_coord_testbed::etcd::Etcd as Servers;
use parking_lot::Mutex;

/// For a call that should succeed.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// For something that takes a while on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn tcp() -> Arc<Tcp> {
    Arc::new(Tcp { connect_timeout: Duration::from_millis(500) })
}

pub(crate) fn connect_with(settings: EtcdSettings) -> Etcd {
    Etcd::new(settings, tcp(), Arc::new(SystemClock)).unwrap()
}

pub(crate) fn connect<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Etcd {
    connect_with(EtcdSettings::new(endpoints))
}

/// Puts a key behind the product's back.
pub(crate) async fn put(servers: &Servers, key: &str, value: impl Into<Vec<u8>>) -> Revision {
    let response = servers.client().await.unwrap().put(key, value, None).await.unwrap();
    Revision(response.header().unwrap().revision())
}

/// Waits for `wanted` of a mirror's state.
pub(crate) async fn wait_until(mirror: &Mirror, wanted: impl FnMut(&MirrorState) -> bool) -> MirrorState {
    let mut state = mirror.state();
    let waiting = state.wait_for(wanted);
    *tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("the mirror lives")
}

/// A port that refuses connections.
pub(crate) async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Counts, and knows names that the resolver doesn't.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) known: Mutex<Vec<(String, String, u16)>>,
    pub(crate) dialled: Mutex<Vec<String>>,
}

impl Dial for Names {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxIo>> {
        self.dialled.lock().push(format!("{host}:{port}"));
        let known = self.known.lock().iter().find(|(name, ..)| name == host).cloned();
        Box::pin(async move {
            match known {
                Some((_, host, port)) => tcp().dial(&host, port).await,
                None => Err(io::Error::new(io::ErrorKind::NotFound, "name not known")),
            }
        })
    }
}
