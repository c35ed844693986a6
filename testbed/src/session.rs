//! The sessions of a role as they stand in etcd, read as any Milvus component reads them.

use std::{sync::Arc, time::Duration};

use etcd_client::{Client, ConnectOptions, GetOptions, GetResponse, WatchOptions};
use serde::Deserialize;
use tokio::sync::Mutex;

/// One session key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The whole key.
    pub key: String,
    /// Id of the process.
    pub server_id: i64,
    /// `host:port`.
    pub address: String,
    /// The lease that the *key* is bound to.
    pub lease: i64,
    /// The lease that the value names.
    pub named_lease: i64,
    /// Set by milvus-coord only.
    pub coord: Option<String>,
    /// Mod revision of the key; of the ACTIVE key it is the epoch.
    pub revision: i64,
    /// The value as it stands there.
    pub value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    #[serde(default, rename = "ServerID")]
    server_id: i64,
    #[serde(default)]
    address: String,
    #[serde(default, rename = "LeaseID")]
    lease_id: i64,
    coord: Option<String>,
}

/// The sessions of one role of one cluster.
#[derive(Clone)]
pub struct Sessions {
    client: Arc<Mutex<Client>>,
    again: Option<Arc<(Vec<String>, ConnectOptions)>>,
    role: String,
    prefix: String,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Those of `role` in the cluster below `root` (`etcd.rootPath`).
    pub fn new(client: Client, root: &str, role: &str) -> Self {
        let client = Arc::new(Mutex::new(client));
        Self { client, again: None, role: role.to_owned(), prefix: format!("{root}/meta/session/{role}") }
    }

    /// Connects anew when etcd does not know the login any more: its tokens expire.
    #[must_use]
    pub fn again(mut self, endpoints: Vec<String>, options: ConnectOptions) -> Self {
        self.again = Some(Arc::new((endpoints, options)));
        self
    }

    async fn read(&self) -> Result<GetResponse, etcd_client::Error> {
        let options = || Some(GetOptions::new().with_prefix());
        let mut client = self.client.lock().await.clone();
        match (client.get(self.prefix.as_str(), options()).await, &self.again) {
            (Err(e), Some(again)) if e.to_string().contains("invalid auth token") => {
                let mut fresh = Client::connect(&again.0, Some(again.1.clone())).await?;
                *self.client.lock().await = fresh.clone();
                fresh.get(self.prefix.as_str(), options()).await
            }
            (answer, _) => answer,
        }
    }

    /// The role: `rootcoord`.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The ACTIVE key: `by-dev/meta/session/rootcoord`.
    pub fn active_key(&self) -> &str {
        &self.prefix
    }

    /// Every readable session of the role, the ACTIVE key included.
    ///
    /// # Errors
    /// Those of etcd.
    pub async fn all(&self) -> Result<Vec<Session>, etcd_client::Error> {
        let answer = self.read().await?;
        Ok(answer.kvs().iter().filter_map(parse).collect())
    }

    /// Who holds the ACTIVE key.
    ///
    /// # Errors
    /// Those of etcd.
    pub async fn active(&self) -> Result<Option<Session>, etcd_client::Error> {
        Ok(self.all().await?.into_iter().find(|session| session.key == self.prefix))
    }

    /// The own keys of the instances (`rootcoord-7`), ACTIVE or not.
    ///
    /// # Errors
    /// Those of etcd.
    pub async fn instances(&self) -> Result<Vec<Session>, etcd_client::Error> {
        let own = format!("{}-", self.prefix);
        Ok(self.all().await?.into_iter().filter(|session| session.key.starts_with(&own)).collect())
    }

    /// Waits until the sessions of the role satisfy `wanted`.
    ///
    /// # Panics
    /// When they don't within `limit`, or etcd fails.
    pub async fn wait(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[Session]) -> bool,
    ) -> Vec<Session> {
        let follow = async {
            loop {
                let answer = self.read().await?;
                let sessions: Vec<Session> = answer.kvs().iter().filter_map(parse).collect();
                if wanted(&sessions) {
                    return Ok::<_, etcd_client::Error>(sessions);
                }
                let read = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
                let options = WatchOptions::new().with_prefix().with_start_revision(read + 1);
                let mut client = self.client.lock().await.clone();
                let mut stream = client.watch(self.prefix.as_str(), Some(options)).await?;
                while let Some(answer) = stream.message().await? {
                    if !answer.events().is_empty() || answer.canceled() {
                        break;
                    }
                }
            }
        };
        match tokio::time::timeout(limit, follow).await {
            Ok(Ok(sessions)) => sessions,
            Ok(Err(e)) => panic!("etcd failed while waiting for {what}: {e}"),
            Err(_) => panic!("{what}: not within {limit:?}; the sessions are {:#?}", self.all().await),
        }
    }

    /// Waits until an instance that satisfies `wanted` holds the ACTIVE key.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    pub async fn wait_active(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Session) -> bool,
    ) -> Session {
        let is_it = |session: &Session| session.key == self.prefix && wanted(session);
        let sessions = self.wait(what, limit, |sessions| sessions.iter().any(is_it)).await;
        sessions.into_iter().find(is_it).expect("just seen")
    }
}

fn parse(kv: &etcd_client::KeyValue) -> Option<Session> {
    let value: Value = serde_json::from_slice(kv.value()).ok()?;
    Some(Session {
        key: kv.key_str().ok()?.to_owned(),
        server_id: value.server_id,
        address: value.address,
        lease: kv.lease(),
        named_lease: value.lease_id,
        coord: value.coord,
        revision: kv.mod_revision(),
        value: kv.value_str().ok()?.to_owned(),
    })
}

/// The server id in a session's value.
pub(crate) fn server_id(value: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(value).ok().map(|value| value.server_id)
}
