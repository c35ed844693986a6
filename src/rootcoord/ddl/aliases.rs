//! Aliases: created, altered, dropped.

use super::{Step, Tools};
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
        self.change_alias(db, names, |catalog, task| aliases::create(catalog, db, alias, collection, task))
            .await
    }

    pub(super) async fn alter_alias(&self, db: &str, alias: &str, collection: &str) -> Step<Timestamp> {
        let names = vec![alias.to_owned()];
        self.change_alias(db, names, |catalog, task| aliases::alter(catalog, db, alias, collection, task))
            .await
    }

    pub(super) async fn drop_alias(&self, db: &str, alias: &str) -> Step<Timestamp> {
        let names = vec![alias.to_owned()];
        self.change_alias(db, names, |catalog, task| aliases::drop(catalog, db, alias, task)).await
    }

    /// Proxies forget also when it was so already: a first execution may not have come so far.
    async fn change_alias(
        &self,
        db: &str,
        names: Vec<String>,
        decide: impl Fn(&Catalog, Task) -> Result<Decision, DdlError>,
    ) -> Step<Timestamp> {
        let with_write = |decision| match decision {
            Decision::Done => Decision::Done,
            Decision::Write(write) => Decision::<(Write, ())>::Write((write, ())),
        };
        let (ts, _) = self.change(|catalog, task| decide(catalog, task).map(with_write)).await?;
        self.forget(ts, db, Forget::Names(names)).await?;
        Ok(ts)
    }
}
