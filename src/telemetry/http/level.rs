//! `/log/level`: the answers of the original's logging library, word for word.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::telemetry::log::{LogHandle, LogLevel};

/// The only content type that is not taken for JSON.
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) async fn level(
    State(log): State<LogHandle>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match method {
        Method::GET => answer(StatusCode::OK, &json!({ "level": log.level() })),
        Method::PUT => {
            let form = headers.get(CONTENT_TYPE).is_some_and(|given| given == FORM);
            let wanted = if form { from_form(&body, uri.query()) } else { from_json(&body) };
            match wanted {
                Ok(wanted) => {
                    log.set_level(wanted);
                    answer(StatusCode::OK, &json!({ "level": log.level() }))
                }
                Err(error) => answer(StatusCode::BAD_REQUEST, &json!({ "error": error })),
            }
        }
        _ => answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "Only GET and PUT are supported." })),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, format!("{body}\n")).into_response()
}

/// The body counts before the query.
fn from_form(body: &[u8], query: Option<&str>) -> Result<LogLevel, String> {
    let fields = form_urlencoded::parse(body);
    let fields = fields.chain(form_urlencoded::parse(query.unwrap_or_default().as_bytes()));
    let given = fields.filter(|(key, _)| key == "level").map(|(_, value)| value).next().unwrap_or_default();
    if given.is_empty() {
        return Err(missing());
    }
    given.parse().map_err(|error| format!("{error}"))
}

fn from_json(body: &[u8]) -> Result<LogLevel, String> {
    #[derive(Deserialize)]
    struct Payload {
        level: Option<String>,
    }
    let malformed = |error: &dyn std::fmt::Display| format!("malformed request body: {error}");
    if body.trim_ascii().is_empty() {
        return Err(malformed(&"EOF"));
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    payload.level.ok_or_else(missing)?.parse().map_err(|error| malformed(&error))
}

fn missing() -> String {
    "must specify logging level".to_owned()
}
