//! How the cluster is reached: addresses, certificates, login, and how long things may take.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use pulsar::{
    ConnectionRetryOptions, Error, OperationRetryOptions, Pulsar as Client,
    authentication::Authentication,
    error::{AuthenticationError, ConnectionError},
};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tracing::{error, warn};

use super::{
    diagnosis::obstacle,
    executor::Tasks,
    outcome::{self, unreachable},
};
use crate::{
    clock::Clock,
    config::{ConfigError, Problem, PulsarLogin, PulsarSettings},
    mq::{QueueError, trouble::Trouble},
};

/// How long the broker may take to acknowledge a message, or to answer anything else. Then
/// the connection counts as broken.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An idle connection is tested this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A broker that is not ready for a topic, or still has its former producer, is asked again
/// this often, and as many times.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRIES: u32 = 20;

/// More messages than can be on their way in one moment: each channel has one.
const ON_THE_WAY: usize = 4096;

/// What all connections have in common.
pub(super) struct Access {
    pub(super) settings: PulsarSettings,
    pub(super) clock: Arc<dyn Clock>,
    trouble: Trouble,
    address: String,
    /// `None`: connections are plain.
    trusted: Option<Trusted>,
}

/// The authorities that count.
struct Trusted {
    pem: Vec<u8>,
    roots: RootCertStore,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Access {
    pub(super) fn new(settings: PulsarSettings, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let trusted = settings.is_encrypted().then(|| trusted(&settings)).transpose()?;
        let trouble = Trouble::new(Arc::clone(&clock));
        let address = settings.address();
        Ok(Self { settings, clock, trouble, address, trusted })
    }

    /// The topic of a channel.
    pub(super) fn topic(&self, channel: &str) -> String {
        format!("persistent://{}/{}/{channel}", self.settings.tenant, self.settings.namespace)
    }

    /// Connects. `number`: the how many-th attempt, so that all addresses get their turn.
    ///
    /// # Errors
    /// Why not, as far as it can be found out.
    pub(super) async fn connect(&self, number: usize, tasks: Tasks) -> Result<Client<Tasks>, Error> {
        let url = &self.settings.urls[number % self.settings.urls.len()];
        let mut builder = Client::builder(url, tasks)
            // Whoever connects here tries again, with its own pauses.
            .with_connection_retry_options(ConnectionRetryOptions {
                max_retries: 0,
                connection_timeout: CONNECT_TIMEOUT,
                keep_alive: KEEP_ALIVE,
                ..ConnectionRetryOptions::default()
            })
            .with_operation_retry_options(OperationRetryOptions {
                operation_timeout: OPERATION_TIMEOUT.min(self.settings.request_timeout),
                retry_delay: RETRY_PAUSE,
                max_retries: Some(RETRIES),
            })
            .with_outbound_channel_size(ON_THE_WAY);
        if let Some(login) = &self.settings.login {
            builder = builder.with_auth_provider(Box::new(Token(login.clone())));
        }
        if let Some(trusted) = &self.trusted {
            builder = builder.with_certificate_chain(trusted.pem.clone());
        }
        match builder.build().await {
            Err(error) if says_nothing(&error) => {
                let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
                let mut login = self.settings.login.clone().map(Token);
                let login = login.as_mut().map(|login| login as &mut dyn Authentication);
                let roots = self.trusted.as_ref().map(|trusted| &trusted.roots);
                Err(obstacle(address, roots, login).await.map_or(error, Error::Custom))
            }
            other => other,
        }
    }

    /// Something went wrong, which also explains what goes wrong because of it.
    pub(super) fn heard(&self, what: &'static str, error: &Error) {
        let words = outcome::words(error);
        self.trouble.explains(&words);
        let kind = outcome::server_error(error).map_or(what, |kind| kind.as_str_name());
        let Some(omitted) = self.trouble.may_say(kind) else { return };
        // Somebody must act: a login or a certificate is wrong.
        if words.starts_with("Auth") || words.starts_with("encryption") {
            error!(kind, omitted, reason = words, "pulsar trouble");
        } else {
            warn!(kind, omitted, reason = words, "pulsar trouble");
        }
    }

    /// The broker answers.
    pub(super) fn is_well(&self) {
        self.trouble.is_over();
    }

    pub(super) fn failure(&self, error: &Error, channel: &str) -> QueueError {
        outcome::queue_error(error, &self.address, channel, self.trouble.last())
    }

    /// For a reason of our own.
    pub(super) fn unreachable(&self, reason: &str) -> QueueError {
        let trouble = self.trouble.last().map_or_else(String::new, |why| format!(" ({why})"));
        unreachable(&self.address, format!("{reason}{trouble}"))
    }

    pub(super) fn refused(&self, channel: &str, reason: String) -> QueueError {
        outcome::refused(&self.address, channel, reason)
    }
}

/// Whether the client's error hides the reason for which a connection did not come about.
fn says_nothing(error: &Error) -> bool {
    matches!(error, Error::Connection(ConnectionError::Io(e)) if e.kind() == io::ErrorKind::Other)
        || matches!(error, Error::Connection(ConnectionError::NotFound))
}

fn trusted(settings: &PulsarSettings) -> Result<Trusted, ConfigError> {
    let problem = |path: &Path, what: &str| {
        let what = format!("pulsar.tlsTrustCertsFilePath: {} {what}", path.display());
        ConfigError(vec![Problem { origin: None, what }])
    };
    let mut certificates = match &settings.trusted {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| problem(path, &format!("can't be read: {e}")))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    // The client gives up at one that it can't use.
    let mut roots = RootCertStore::empty();
    certificates.retain(|certificate| roots.add(certificate.clone()).is_ok());
    if let (Some(path), true) = (&settings.trusted, certificates.is_empty()) {
        return Err(problem(path, "holds no certificate that can be used"));
    }
    let blocks: Vec<_> =
        certificates.iter().map(|certificate| pem::Pem::new("CERTIFICATE", certificate.to_vec())).collect();
    Ok(Trusted { pem: pem::encode_many(&blocks).into_bytes(), roots })
}

/// Shows the token, and looks at its file each time.
struct Token(PulsarLogin);

#[async_trait]
impl Authentication for Token {
    fn auth_method_name(&self) -> String {
        "token".into()
    }

    async fn initialize(&mut self) -> Result<(), AuthenticationError> {
        Ok(())
    }

    async fn auth_data(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        match &self.0 {
            PulsarLogin::Token(token) => Ok(token.expose().into()),
            PulsarLogin::TokenFile(path) => match tokio::fs::read_to_string(path).await {
                Ok(token) => Ok(token.trim().into()),
                Err(e) => Err(AuthenticationError::Custom(format!(
                    "the token in {} can't be read: {e}",
                    path.display()
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::Stopped;

    fn access(settings: PulsarSettings) -> Result<Access, String> {
        Access::new(settings, Arc::new(Stopped)).map_err(|error| error.to_string())
    }

    #[test]
    fn topics_are_those_of_milvus() {
        let own = PulsarSettings { tenant: "t".into(), namespace: "n".into(), ..PulsarSettings::default() };
        let topic = |settings| access(settings).unwrap().topic("by-dev-rootcoord-dml_0");
        assert_eq!(topic(PulsarSettings::default()), "persistent://public/default/by-dev-rootcoord-dml_0");
        assert_eq!(topic(own), "persistent://t/n/by-dev-rootcoord-dml_0");
    }

    #[test]
    fn certificates_that_can_t_be_used_keep_the_process_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let with = |url: &str| PulsarSettings {
            urls: vec![url.into()],
            trusted: Some(file.clone()),
            ..PulsarSettings::default()
        };
        assert!(access(with("pulsar://a:1")).is_ok(), "nobody needs it");
        let error = access(with("pulsar+ssl://a:1")).unwrap_err();
        assert!(error.contains("pulsar.tlsTrustCertsFilePath") && error.contains("ca.pem"), "{error}");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let error = access(with("pulsar+ssl://a:1")).unwrap_err();
        assert!(error.ends_with("holds no certificate that can be used"), "{error}");
    }

    #[tokio::test]
    async fn a_token_s_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let mut token = Token(PulsarLogin::TokenFile(file.clone()));
        assert!(token.auth_data().await.is_err());
        for text in ["one", "two\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(token.auth_data().await.unwrap(), text.trim().as_bytes());
        }
    }
}
