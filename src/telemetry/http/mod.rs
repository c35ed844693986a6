//! The management port: health for Kubernetes and load balancers, metrics, the log level.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 `OK`, or 500 when only a restart helps; in full for requests of `Content-Type: application/json` |
//! | `/role` | where the instance stands, who is active, and whether automatic takeover is paused, as JSON |
//! | `/active`, `/standby` | 200 while the instance is that, else 503; the body is the phase |
//! | `/metrics` | all metrics, Prometheus text 0.0.4 |
//! | `/metrics_default` | those of the process alone |
//! | `/log/level` | GET, PUT: the log's level |
//!
//! Paths, answers and media types of Milvus are Milvus's.

mod bind;
mod health;
mod level;
mod serve;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};

pub use self::{
    bind::{ANY_INTERFACE, BindError, DEFAULT_PORT, ManagementPort, bind},
    health::{Health, HealthSource},
    serve::HttpServer,
};
use crate::{
    net::Accept,
    telemetry::{
        log::LogHandle,
        metrics::{self, Metrics},
        words::Phase,
    },
};

/// More than any request of this port needs.
const MAX_BODY: usize = 16 << 10;

/// What the port tells about.
#[derive(Clone)]
pub struct Management {
    /// The instance's health.
    pub health: Arc<dyn HealthSource>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its log.
    pub log: LogHandle,
}

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Management").finish_non_exhaustive()
    }
}

impl Management {
    /// Serves it until the server is stopped or dropped.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub fn serve(self, listener: impl Accept + 'static) -> io::Result<HttpServer> {
        let router = Router::new()
            .route("/healthz", any(healthz))
            .route("/role", any(role))
            .route("/active", any(active))
            .route("/standby", any(standby))
            .route("/metrics", any(all_metrics))
            .route("/metrics_default", any(process_metrics))
            .route("/log/level", any(level::level))
            .fallback(not_found)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self);
        HttpServer::start(Box::new(listener), router)
    }
}

impl FromRef<Management> for LogHandle {
    fn from_ref(management: &Management) -> Self {
        management.log.clone()
    }
}

async fn healthz(State(management): State<Management>, headers: HeaderMap) -> Response {
    let health = management.health.health();
    let status = if health.restart_helps { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    let in_full = headers.get(header::CONTENT_TYPE).is_some_and(|given| given == "application/json");
    let body = if in_full { health.detail().to_string() } else { health.verdict() };
    // The media type is that of text in both cases, as in the original.
    (status, body).into_response()
}

async fn role(State(management): State<Management>) -> Response {
    let description = format!("{}\n", management.health.health().description());
    ([(header::CONTENT_TYPE, "application/json")], description).into_response()
}

async fn active(State(management): State<Management>) -> Response {
    is_in(Phase::Active, &management)
}

async fn standby(State(management): State<Management>) -> Response {
    is_in(Phase::Standby, &management)
}

fn is_in(wanted: Phase, management: &Management) -> Response {
    let phase = management.health.health().phase;
    let status = if phase == wanted { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, phase.name()).into_response()
}

async fn all_metrics(State(management): State<Management>) -> Response {
    let live = management.health.live();
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], management.metrics.render(&live)).into_response()
}

async fn process_metrics(State(management): State<Management>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], management.metrics.render_process()).into_response()
}

async fn not_found() -> Response {
    let nosniff = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (StatusCode::NOT_FOUND, nosniff, "404 page not found\n").into_response()
}
