//! Aliases: created, altered, dropped.

use super::{Note, Step, Tools};
use crate::{
    etcd::store::Write,
    rootcoord::{
        aliases,
        catalog::Catalog,
        error::{DdlError, Decision, Task},
        peers::Forget,
    },
    tso::hybrid::Timestamp,
};

impl Tools {
    pub(super) async fn create_alias(&self, db: &str, alias: &str, collection: &str) -> Step<Timestamp> {
        let names = vec![alias.to_owned(), collection.to_owned()];
        let decide = |catalog: &Catalog, task| aliases::create(catalog, db, alias, collection, task);
        let (ts, written) = self.change_alias(db, names, decide).await?;
        if written.is_none() {
            self.witness.noted(&Note::AliasExists(alias, collection, ts));
        }
        Ok(ts)
    }

    pub(super) async fn alter_alias(&self, db: &str, alias: &str, collection: &str) -> Step<Timestamp> {
        let names = vec![alias.to_owned()];
        let decide = |catalog: &Catalog, task| aliases::alter(catalog, db, alias, collection, task);
        Ok(self.change_alias(db, names, decide).await?.0)
    }

    pub(super) async fn drop_alias(&self, db: &str, alias: &str) -> Step<Timestamp> {
        let names = vec![alias.to_owned()];
        let decide = |catalog: &Catalog, task| aliases::drop(catalog, db, alias, task);
        Ok(self.change_alias(db, names, decide).await?.0)
    }

    /// Proxies forget also when it was so already: a first execution may not have come so far.
    /// Says when, and whether anything was written.
    async fn change_alias(
        &self,
        db: &str,
        names: Vec<String>,
        decide: impl Fn(&Catalog, Task) -> Result<Decision, DdlError>,
    ) -> Step<(Timestamp, Option<()>)> {
        let with_write = |decision| match decision {
            Decision::Done => Decision::Done,
            Decision::Write(write) => Decision::<(Write, ())>::Write((write, ())),
        };
        let (ts, written) = self.change(|catalog, task| decide(catalog, task).map(with_write)).await?;
        self.forget(ts, db, Forget::Names(names)).await?;
        Ok((ts, written))
    }
}
