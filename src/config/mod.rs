//! Configuration: where settings come from, what they may be, and their typed form.

mod key;
pub mod kind;
mod scalar;
pub mod table;
mod yaml;
