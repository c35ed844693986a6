//! The standard health service: what load balancers and grpc_health_probe ask.
//!
//! | service | serving |
//! |---|---|
//! | `` (the process) | until it leaves |
//! | the role's | while this instance holds the ACTIVE key and calls to it succeed |

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::election::standing::Standing;

/// Keeps the reported statuses equal to what the standing says, until that ends.
pub(super) async fn report(
    reporter: HealthReporter,
    services: Vec<&'static str>,
    mut standing: watch::Receiver<Standing>,
) {
    loop {
        let (process, role) = {
            let standing = standing.borrow_and_update();
            (alive(&standing), serves(&standing))
        };
        reporter.set_service_status("", process).await;
        for service in &services {
            reporter.set_service_status(service, role).await;
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

fn alive(standing: &Standing) -> ServingStatus {
    match standing {
        Standing::Leaving { .. } => ServingStatus::NotServing,
        _ => ServingStatus::Serving,
    }
}

fn serves(standing: &Standing) -> ServingStatus {
    match standing {
        // Calls wait the moment that a hand-over takes, and then succeed.
        Standing::Active { .. } | Standing::HandingOver { .. } => ServingStatus::Serving,
        Standing::Starting
        | Standing::Standby { .. }
        | Standing::Activating { .. }
        | Standing::Suspended { .. }
        | Standing::Forwarding { .. }
        | Standing::Leaving { .. } => ServingStatus::NotServing,
    }
}
