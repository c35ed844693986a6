//! Machines and the processes on them.
//!
//! A machine is a turmoil host that runs only a [`kernel`]. A process runs in a tokio
//! runtime of its own, beside turmoil, and reaches the network through its kernel. That
//! is what makes it possible to freeze one: nobody drives its runtime, while everything
//! around goes on.

pub(crate) mod kernel;
pub mod process;
pub(crate) mod socket;
pub mod time;
