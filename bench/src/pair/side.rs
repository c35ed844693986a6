//! The two that are compared.

use std::path::PathBuf;

use milvus_coord_bench::party::{Party, our_program};
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
        if !options.shared.without_real {
            sides.push(Self::Real(Oracle::find()?));
        }
        if options.shared.without_ours {
            return Ok(sides);
        }
        let program = our_program(options.shared.program.as_deref())?;
        sides.push(Self::Ours { program, apart: options.shared.apart });
        Ok(sides)
    }

    pub(crate) fn party(&self) -> Party {
        match self {
            Self::Real(_) => Party::Real,
            Self::Ours { .. } => Party::Ours,
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.party() == Party::Real
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
