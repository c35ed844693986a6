//! The two that are compared.

use std::path::PathBuf;

use milvus_coord_testbed::{
    bed::{Bed, ROOT},
    instance::{Instance, Plan},
    oracle::{Oracle, RealCluster},
};

use crate::options::Options;

/// Who is measured.
#[derive(Debug)]
pub(crate) enum Side {
    /// The real Milvus 2.3.5.
    Real(Oracle),
    /// milvus-coord.
    Ours {
        /// The executable.
        program: PathBuf,
        /// Whether the instances see each other's lock files.
        apart: bool,
    },
}

/// An etcd with what one side needs beside it.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) bed: Bed,
    real: Option<RealCluster>,
    apart: bool,
}

impl Side {
    /// The real one first: what it leaves in the page cache is the other's, too.
    pub(crate) fn all(options: &Options) -> Result<Vec<Self>, String> {
        let mut sides = Vec::new();
        if !options.without_real {
            sides.push(Self::Real(Oracle::find()?));
        }
        if options.without_ours {
            return Ok(sides);
        }
        let beside = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("milvus-coord");
        let program = options.program.clone().unwrap_or(beside);
        if !program.is_file() {
            return Err(format!("{} is not there; bench/run.sh builds it", program.display()));
        }
        let program = program.canonicalize().map_err(|e| format!("{}: {e}", program.display()))?;
        sides.push(Self::Ours { program, apart: options.apart });
        Ok(sides)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Real(_) => "Milvus 2.3.5",
            Self::Ours { .. } => "milvus-coord",
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    /// How many takeovers are asked for.
    pub(crate) fn rounds(&self, options: &Options) -> usize {
        if self.is_real() { options.real_rounds } else { options.rounds }
    }

    /// A fresh etcd, and the broker that the real one needs.
    pub(crate) async fn ground(&self) -> Ground {
        match self {
            Self::Real(oracle) => {
                let program = oracle.program();
                let bed = Bed::new(&program.display().to_string()).await;
                Ground { bed, real: Some(RealCluster::start(oracle).await), apart: false }
            }
            Self::Ours { program, apart } => {
                Ground { bed: Bed::new(&program.display().to_string()).await, real: None, apart: *apart }
            }
        }
    }
}

impl Ground {
    /// An instance as it is shipped: no setting of its own but where things are.
    pub(crate) fn plan(&self, name: &str) -> Plan {
        match &self.real {
            Some(cluster) => cluster.rootcoord(&self.bed.etcd.endpoints(), ROOT).named(name),
            None if self.apart => self.bed.elsewhere(name),
            None => self.bed.plan(name),
        }
    }

    /// A serving one and a standby.
    pub(crate) async fn pair(&self) -> (Instance, Instance) {
        self.bed.pair_of(self.plan("first"), self.plan("second")).await
    }
}
