//! The two that are compared, each in a cluster of its own.

use std::path::{Path, PathBuf};

use milvus_coord_bench::{
    party::{Party, our_program},
    terminal::say,
};
use milvus_coord_testbed::{
    cluster::{Cluster, Options as Parts, Rootcoord},
    log::{Log, Mark},
    oracle::Oracle,
    python::Program,
};

use crate::options::Options;

/// Seconds of a lease as Milvus 2.3.5 is shipped.
const REAL_LEASE: u32 = 30;

/// As milvus-coord is.
const OUR_LEASE: u32 = 5;

/// Who is measured.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) party: Party,
    oracle: Oracle,
    rootcoord: Rootcoord,
    apart: bool,
    logs: Option<PathBuf>,
}

impl Side {
    /// The real one first: what it leaves in the page cache is the other's, too.
    pub(crate) fn all(options: &Options) -> Result<Vec<Self>, String> {
        let oracle = Oracle::find()?;
        let side = |party, rootcoord| Self {
            party,
            oracle: oracle.clone(),
            rootcoord,
            apart: options.shared.apart,
            logs: options.logs.clone(),
        };
        let mut sides = Vec::new();
        if !options.shared.without_real {
            sides.push(side(Party::Real, Rootcoord::Real));
        }
        if !options.shared.without_ours {
            let program = our_program(options.shared.program.as_deref())?;
            sides.push(side(Party::Ours, Rootcoord::Ours(program)));
        }
        Ok(sides)
    }

    /// A fresh cluster with a pair of rootcoords; `with` adds what it is to have besides.
    pub(crate) async fn cluster(&self, with: impl FnOnce(Parts) -> Parts) -> Cluster {
        let lease = match self.party {
            Party::Real => REAL_LEASE,
            Party::Ours => OUR_LEASE,
        };
        let pair = [self.rootcoord.clone(), self.rootcoord.clone()];
        let mut parts = with(Parts::new(pair).lease(lease).apart(self.apart));
        if self.logs.is_some() {
            parts = parts.set("log.level", "debug");
        }
        Cluster::start(&self.oracle, parts).await
    }

    /// Keeps the logs of a cluster that has done its work, if they are wanted.
    pub(crate) fn keep(&self, what: &str, cluster: &Cluster, users: Option<&Program>) {
        let Some(folder) = &self.logs else { return };
        let folder = folder.join(format!("{what} {}", self.party.name()).replace(' ', "-"));
        let mut logs = cluster.logs();
        logs.extend(users.map(|users| ("users".to_owned(), users.process.log.clone())));
        match std::fs::create_dir_all(&folder).and_then(|()| write(&folder, &logs)) {
            Ok(()) => say(&format!("logs are in {}", folder.display())),
            Err(e) => say(&format!("no logs in {}: {e}", folder.display())),
        }
    }
}

fn write(folder: &Path, logs: &[(String, Log)]) -> std::io::Result<()> {
    logs.iter().try_for_each(|(name, log)| {
        let lines: Vec<String> =
            log.since(Mark::default()).into_iter().map(|line| line.text + "\n").collect();
        std::fs::write(folder.join(format!("{}.log", name.replace(' ', "-"))), lines.concat())
    })
}
