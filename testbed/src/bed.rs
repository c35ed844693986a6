//! A cluster's worth of coordinators under test: one etcd, and instances of one
//! program on it.

use std::{path::PathBuf, time::Duration};

use etcd_client::{Client, ConnectOptions};
use tempfile::TempDir;

use crate::{
    audit::{self, Term},
    etcd::{Etcd, Options},
    follower::Follower,
    instance::{Instance, Plan, SOON},
    session::{Session, Sessions},
};

/// `etcd.rootPath` of every bed.
pub const ROOT: &str = "by-dev";

/// An etcd, and what is needed to start rootcoords on it.
#[derive(Debug)]
pub struct Bed {
    /// The etcd: to be stopped, frozen, filled.
    pub etcd: Etcd,
    /// How the test's own clients of etcd connect: user, TLS.
    pub options: ConnectOptions,
    program: PathBuf,
    run: TempDir,
}

impl Bed {
    /// One etcd member, and `program` as the coordinator.
    ///
    /// # Panics
    /// When etcd doesn't start.
    pub async fn new(program: &str) -> Self {
        Self::with(program, Options::default()).await
    }

    /// The same with other servers.
    ///
    /// # Panics
    /// When etcd doesn't start.
    pub async fn with(program: &str, options: Options) -> Self {
        Self::around(program, Etcd::start(options).await.unwrap_or_else(|e| panic!("no etcd: {e}")))
    }

    /// The same around servers that the test has made; they need not run.
    ///
    /// # Panics
    /// Without a temporary folder.
    pub fn around(program: &str, etcd: Etcd) -> Self {
        let run = tempfile::Builder::new().prefix("milvus-coord-run-").tempdir().expect("a temporary folder");
        // As clients that give up in time: etcd may be down.
        let options = ConnectOptions::new().with_timeout(Duration::from_secs(5));
        Self { etcd, options, program: PathBuf::from(program), run }
    }

    /// An instance of the program, as if on the same machine as all others of the bed.
    pub fn plan(&self, name: &str) -> Plan {
        Plan::rootcoord(&self.program, &self.etcd.endpoints(), ROOT)
            .named(name)
            .set("common.activeStandby.runDirectory", self.run.path().display())
    }

    /// The same as if on a machine of its own: nothing but etcd and the network tells of it.
    pub fn elsewhere(&self, name: &str) -> Plan {
        let own = self.run.path().join(name);
        std::fs::create_dir_all(&own).expect("a folder for the instance");
        self.plan(name).set("common.activeStandby.runDirectory", own.display())
    }

    /// Two instances on one machine: the first one serves, the second one is standby.
    ///
    /// # Panics
    /// When they don't get there.
    pub async fn pair(&self) -> (Instance, Instance) {
        self.pair_of(self.plan("first"), self.plan("second")).await
    }

    /// Two instances started one after the other: the first one serves, the second
    /// one is standby.
    ///
    /// # Panics
    /// When they don't get there.
    pub async fn pair_of(&self, first: Plan, second: Plan) -> (Instance, Instance) {
        let first = first.start();
        first.serves(SOON).await;
        let second = second.start();
        second.standby().await;
        (first, second)
    }

    /// A plain client of etcd, for what happens behind the program's back.
    ///
    /// # Panics
    /// When it can't be had.
    pub async fn store(&self) -> Client {
        Client::connect(self.etcd.endpoints(), Some(self.options.clone())).await.expect("a client of etcd")
    }

    /// The sessions of the rootcoords.
    ///
    /// # Panics
    /// When etcd's client can't be had.
    pub async fn sessions(&self) -> Sessions {
        Sessions::new(self.store().await, ROOT, "rootcoord")
            .again(self.etcd.endpoints(), self.options.clone())
    }

    /// A client that follows the ACTIVE one.
    ///
    /// # Panics
    /// When etcd's client can't be had.
    pub async fn client(&self) -> Follower {
        Follower::new(self.sessions().await)
    }

    /// Who is ACTIVE now.
    ///
    /// # Panics
    /// When nobody is.
    pub async fn active(&self) -> Session {
        self.sessions().await.active().await.expect("etcd answers").expect("somebody is ACTIVE")
    }

    /// The session that names the address of `instance`.
    ///
    /// # Panics
    /// When none does within 20 seconds.
    pub async fn session_of(&self, instance: &Instance) -> Session {
        let address = instance.address();
        let sessions = self.sessions().await;
        let is_it = |session: &Session| session.address == address && session.key != sessions.active_key();
        let what = format!("a session of {}", instance.process.name());
        let seen = sessions.wait(&what, SOON, |all| all.iter().any(is_it)).await;
        // The newest: an earlier process may have had the address.
        seen.into_iter().filter(is_it).max_by_key(|session| session.server_id).expect("just seen")
    }

    /// Waits until `instance` is ACTIVE.
    ///
    /// # Panics
    /// When it isn't within `limit`.
    pub async fn wait_active(&self, instance: &Instance, limit: Duration) -> Session {
        let address = instance.address();
        let what = format!("{} to be ACTIVE", instance.process.name());
        self.sessions().await.wait_active(&what, limit, |session| session.address == address).await
    }

    /// Every term so far, and the checks of etcd's whole history; see [`audit`].
    ///
    /// # Panics
    /// When the history shows a broken promise.
    pub async fn audit(&self) -> Vec<Term> {
        audit::audit(&mut self.store().await, ROOT).await
    }
}
