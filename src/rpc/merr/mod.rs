//! Milvus's error model: a root with a code, wrapped in texts, as a `Status` on the wire.
//!
//! The text of an error is built from the inside out: the kind's own words, then
//! attributes `[name=value]`, then `: description`; each caller that passes it on
//! may put `words: ` in front. A `Status` carries two of these texts:
//!
//! | field | content |
//! |---|---|
//! | `detail` | everything |
//! | `reason` | root with its innermost wrapping; or the bare root, if that is a plain error that was made with a stack trace |
//!
//! and `retriable` only if nothing was wrapped around the root. Success is the
//! empty message.

mod go;
mod kind;

use std::{borrow::Cow, fmt};

use milvus_proto::common::{ErrorCode, Status};

pub use self::{
    go::{Float, List},
    kind::Kind,
};

/// An error as Milvus's clients understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MilvusError {
    code: i32,
    retriable: bool,
    /// Retriable also when wrapped.
    insists: bool,
    /// The root is a plain error that carries a stack trace in the original.
    traced: bool,
    root: Cow<'static, str>,
    /// Innermost first.
    wraps: Vec<String>,
}

impl MilvusError {
    /// The bare kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            code: kind.code(),
            retriable: kind.retriable(),
            insists: false,
            traced: false,
            root: Cow::Borrowed(kind.text()),
            wraps: Vec::new(),
        }
    }

    /// An error that is none of Milvus's kinds. `reason` is the text with its innermost wrapping.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { root: Cow::Owned(text.into()), ..Self::new(Kind::Unexpected) }
    }

    /// A plain error which the original makes with a stack trace: `reason` is always the bare text.
    pub fn traced(text: impl Into<String>) -> Self {
        Self { traced: true, ..Self::plain(text) }
    }

    /// `service not ready[<role>=<id>]: <state>`, the answer to a call that came too early.
    pub fn not_ready(role: &str, node: impl fmt::Display, state: &str) -> Self {
        Self::new(Kind::ServiceNotReady).with(role, node).saying(state)
    }

    /// `node not match[expectedNodeID=…][actualNodeID=…]`.
    pub fn node_not_match(expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self::new(Kind::NodeNotMatch).with("expectedNodeID", expected).with("actualNodeID", actual)
    }

    /// `cross cluster routing[expectedCluster=…][actualCluster=…]`.
    pub fn cross_cluster(expected: &str, actual: &str) -> Self {
        Self::new(Kind::CrossClusterRouting).with("expectedCluster", expected).with("actualCluster", actual)
    }

    /// `invalid parameter[expected=…][actual=…]`.
    pub fn invalid(expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        Self::new(Kind::ParameterInvalid).with("expected", expected).with("actual", actual)
    }

    /// `invalid parameter[7 out of range 1 <= value <= 5]`.
    pub fn out_of_range(
        value: impl fmt::Display,
        lower: impl fmt::Display,
        upper: impl fmt::Display,
    ) -> Self {
        let mut error = Self::new(Kind::ParameterInvalid);
        error.push(format_args!("[{value} out of range {lower} <= value <= {upper}]"));
        error
    }

    /// `<text>: <kind>`, the form in which kinds are used whose text is free:
    /// invalid parameter, not authenticated, privilege not permitted, importing data failed.
    pub fn free(kind: Kind, text: impl Into<String>) -> Self {
        Self::new(kind).wrap(text)
    }

    /// A gRPC status that a call to another component ended with, worded as grpc-go does.
    pub fn from_grpc(status: &tonic::Status) -> Self {
        let text = format!("rpc error: code = {} desc = {}", grpc_code_name(status.code()), status.message());
        match status.code() {
            tonic::Code::Unimplemented => Self::new(Kind::ServiceUnimplemented).saying(&text),
            _ => Self::plain(text),
        }
    }

    /// Appends `[name=value]`. Lists and fractions through [`List`] and [`Float`].
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.push(format_args!("[{name}={value}]"));
        self
    }

    /// Appends `: text`.
    #[must_use]
    pub fn saying(mut self, text: &str) -> Self {
        self.push(format_args!(": {text}"));
        self
    }

    /// Puts `text: ` in front, as a caller does that passes the error on. Several
    /// notes at once are one wrapping, joined by `->`.
    #[must_use]
    pub fn wrap(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.wraps.push(text);
        }
        self
    }

    /// Asks the client to repeat the call at this server, whatever kind and wrapping say.
    #[must_use]
    pub fn retry(mut self) -> Self {
        self.insists = true;
        self
    }

    /// The number that clients look at.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The kind, unless a newer release made the error.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.code)
    }

    /// Whether the client is asked to repeat the call at this server.
    pub fn retriable(&self) -> bool {
        self.insists || self.retriable && self.wraps.is_empty()
    }

    /// The shorter of the two texts.
    pub fn reason(&self) -> String {
        match self.wraps.first() {
            Some(innermost) if !self.traced => format!("{innermost}: {}", self.root),
            _ => self.root.clone().into_owned(),
        }
    }

    /// Attributes grow the root, so they must come before the wrapping.
    fn push(&mut self, text: fmt::Arguments<'_>) {
        debug_assert!(self.wraps.is_empty(), "attributes belong to the root");
        fmt::Write::write_fmt(self.root.to_mut(), text).expect("strings take all");
    }

    fn legacy(&self) -> ErrorCode {
        self.kind().map_or(ErrorCode::UnexpectedError, Kind::legacy)
    }

    /// For the few methods that set the legacy code themselves: no detail, never retriable.
    #[expect(deprecated, reason = "old clients read it")]
    pub fn to_status_with_legacy(&self, legacy: ErrorCode) -> Status {
        Status {
            error_code: legacy.into(),
            reason: self.to_string(),
            code: self.code,
            retriable: false,
            detail: String::new(),
        }
    }

    /// As a gRPC error with code Unknown: makes Milvus's clients drop the connection
    /// and look the server up again.
    pub fn to_grpc(&self) -> tonic::Status {
        tonic::Status::unknown(self.to_string())
    }
}

impl fmt::Display for MilvusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in self.wraps.iter().rev() {
            write!(f, "{text}: ")?;
        }
        f.write_str(&self.root)
    }
}

impl std::error::Error for MilvusError {}

impl From<Kind> for MilvusError {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

#[expect(deprecated, reason = "old clients read the legacy code")]
impl From<&MilvusError> for Status {
    fn from(error: &MilvusError) -> Self {
        Self {
            error_code: error.legacy().into(),
            reason: error.reason(),
            code: error.code,
            retriable: error.retriable(),
            detail: error.to_string(),
        }
    }
}

impl From<MilvusError> for Status {
    fn from(error: MilvusError) -> Self {
        Self::from(&error)
    }
}

/// The empty message.
pub fn success() -> Status {
    Status::default()
}

/// What a status says. An absent one is a success, and so is one that only has a reason.
///
/// # Errors
/// The relayed error: its detail is the reason, and the original's detail is lost, as in the original.
#[expect(deprecated, reason = "old nodes set only the legacy code")]
pub fn check(status: Option<&Status>) -> Result<(), MilvusError> {
    let Some(status) = status else { return Ok(()) };
    let (code, retriable) = match (status.code, status.error_code) {
        (0, 0) => return Ok(()),
        (0, legacy) => {
            let kind = ErrorCode::try_from(legacy).map_or(Kind::Unexpected, Kind::from_legacy);
            (kind.code(), false)
        }
        (code, _) => (code, status.retriable),
    };
    Err(MilvusError {
        code,
        retriable,
        insists: false,
        traced: false,
        root: Cow::Owned(status.reason.clone()),
        wraps: Vec::new(),
    })
}

/// The codes as grpc-go spells them.
fn grpc_code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests;
