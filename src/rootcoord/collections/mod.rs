//! What creating, dropping, altering and renaming collections comes to: decisions only.

mod draft;
mod rename;
mod write;

pub use self::{
    draft::{Draft, Limits, UnderWay, draft},
    rename::{Rename, rename, renamed},
    write::{alter, change_state, create, modernize, remove},
};
