//! Another name for a collection, perhaps in another database.

use crate::{
    etcd::store::Write,
    ids::{CollectionId, DbId},
    rootcoord::{
        catalog::Catalog,
        databases::{remember, was_carried_out, when_carried_out},
        error::{DdlError, Decision, NoCollection, Task},
        keys::{Object, Repeatable, RequestId},
        model::Collection,
    },
};

/// A request to rename.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The database's name as asked for.
    pub db: String,
    /// The name now.
    pub old: String,
    /// The name then.
    pub new: String,
    /// The database then; empty: the same.
    pub new_db: String,
    /// By what its repetition is known. Milvus's proxies give renames no number.
    pub request: Option<RequestId>,
    /// The proxy.
    pub source: i64,
}

impl Rename {
    /// The name of the database that the collection will be in.
    pub fn target_db(&self) -> &str {
        if self.new_db.is_empty() { &self.db } else { &self.new_db }
    }

    /// What is remembered of it.
    fn summary(&self) -> String {
        format!("{}/{} -> {}/{}", self.db, self.old, self.new_db, self.new)
    }
}

/// What renames a collection, and which one that is.
///
/// The repetition of a request that was carried out is a success. One without a number is taken
/// for a repetition if the same proxy had that collection renamed so lately, in an earlier term: who
/// asks a second time while nothing has happened to rootcoord hears Milvus's refusal.
///
/// # Errors
/// [`DdlError`]
pub fn rename(
    catalog: &Catalog,
    asked: &Rename,
    task: Task,
) -> Result<Decision<(Write, CollectionId)>, DdlError> {
    if was_carried_out(catalog, asked.request, &asked.summary(), task) {
        return Ok(Decision::Done);
    }
    // In Milvus's order of checks.
    let target = asked.target_db();
    let target = catalog.named(target).ok_or_else(|| DdlError::NoTargetDatabase(target.to_owned()))?;
    let db = catalog.named(&asked.db);
    if db.is_some_and(|db| catalog.alias(db.id, &asked.old).is_some()) {
        return Err(DdlError::RenameByAlias(asked.old.clone()));
    }
    if is_taken(catalog, target.id, &asked.new) {
        let is_gone = db.is_some_and(|db| !is_taken(catalog, db.id, &asked.old));
        if is_gone && repeats_without_number(catalog, asked, task) {
            return Ok(Decision::Done);
        }
        return Err(DdlError::RenameTaken { db: target.name.clone(), name: asked.new.clone() });
    }
    let db = db.ok_or_else(|| DdlError::NoDatabase(asked.db.clone()))?;
    let missing = || NoCollection::AsOf { ts: task.ts, db: db.id, name: asked.old.clone() };
    let record = catalog.own_name(db.id, &asked.old).ok_or_else(missing)?;
    let moves = target.id != db.id;
    if moves && catalog.aliases_of(record.id).next().is_some() {
        return Err(DdlError::RenameWithAliases);
    }
    let new_db = if moves { target.id } else { record.db };
    let renamed = Collection { name: asked.new.clone(), db: new_db, ..record.clone() };
    let mut puts = catalog.puts(task.ts);
    if moves {
        puts = puts.bury(&Object::Collection(record.db, record.id))?;
    }
    let mut write = puts.put_record(&renamed)?.at_once();
    let request = asked.request.unwrap_or_else(|| without_number(asked.source, record.id));
    remember(catalog, request, asked.summary(), task, &mut write);
    Ok(Decision::Write((write, record.id)))
}

/// Whether the collection of the new name got it in an earlier term, and so that this may be the repetition.
fn repeats_without_number(catalog: &Catalog, asked: &Rename, task: Task) -> bool {
    asked.request.is_none()
        && renamed(catalog, asked)
            .map(|id| without_number(asked.source, id))
            .and_then(|request| when_carried_out(catalog, request, &asked.summary(), task))
            .is_some_and(|at| at < task.term.revision())
}

/// The newest rename of a collection that this proxy asked for.
fn without_number(source: i64, collection: CollectionId) -> RequestId {
    // Message 0 is none.
    let timestamp = u64::try_from(collection.0).unwrap_or_default();
    RequestId { what: Repeatable::RenameCollection, source, message: 0, timestamp }
}

fn is_taken(catalog: &Catalog, db: DbId, name: &str) -> bool {
    catalog.own_name(db, name).is_some() || catalog.alias(db, name).is_some()
}

/// The collection that has the new name.
pub fn renamed(catalog: &Catalog, asked: &Rename) -> Option<CollectionId> {
    let db = catalog.named(asked.target_db())?;
    catalog.own_name(db.id, &asked.new).map(|record| record.id)
}
