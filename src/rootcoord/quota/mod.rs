//! The quota center: how much proxies let through for each collection.
//!
//! ```text
//!   querycoord, datacoord, proxies ──▶ Collected ──▶ Metrics ─┐
//!   quotaAndLimits.* ──▶ Limits ──────────────────────────────┼─▶ compute ──▶ Rates ──▶ all proxies
//!   catalog ──▶ OwnLimits, of each collection ────────────────┘
//! ```
//!
//! [`compute`] decides, without clock and network; [`QuotaWorker`] asks, and tells. It does so when
//! a term begins, so that proxies keep the limits that they have, and then again and again: a proxy
//! drops the limits of every collection that it is not told of, and keeps all of them while it is
//! told nothing. So nothing is sent before both coordinators have told what there is.
//!
//! What could not be learned anew is taken as it was last, for a while: a coordinator that is just
//! being replaced must not switch the protection off that the others ask for.

mod collected;
mod compute;
mod events;
mod limits;
mod metrics;
mod rates;
mod reading;
#[cfg(test)]
mod tests;
mod worker;
mod writing;

pub(crate) use self::limits::megabytes;
pub use self::{
    collected::{Collected, NotKnown},
    compute::{NodeRole, Note, Verdict, compute},
    events::QuotaEvents,
    limits::{Bounds, DiskQuotas, GrowingLimits, Levels, Limits, MemoryLimits, OwnLimits, QueueLimits},
    metrics::{
        BadMetrics, DataNode, Disk, Flow, Memory, Metrics, ProxyRates, QueryNode, Queue, Told, of_data_coord,
        of_proxy, of_query_coord,
    },
    rates::{Access, CollectionRates, NO_LIMIT, Rate, Rates, Reason},
    worker::{LimitSource, QuotaSettings, QuotaWorker},
};
