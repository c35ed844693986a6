//! Encryption of the connections to etcd.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use crate::{
    etcd::settings::{BadSettings, Endpoint, Pem, TlsSettings, TlsVersion},
    net::BoxIo,
};

/// Wraps connections. Reads certificates anew for each; one that has become unreadable
/// meanwhile (a renewal in progress) leaves the last good ones in use.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    last_good: Mutex<Arc<ClientConfig>>,
}

impl Tls {
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, BadSettings> {
        let config = load(&settings)?;
        Ok(Self { settings, last_good: Mutex::new(Arc::new(config)) })
    }

    pub(crate) async fn wrap(
        &self,
        endpoint: &Endpoint,
        io: BoxIo,
    ) -> Result<BoxIo, Box<dyn std::error::Error + Send + Sync>> {
        let config = match load(&self.settings) {
            Ok(config) => {
                let config = Arc::new(config);
                *self.last_good.lock() = Arc::clone(&config);
                config
            }
            Err(error) => {
                tracing::warn!(%error, "etcd certificates can not be read, the last ones stay in use");
                Arc::clone(&self.last_good.lock())
            }
        };
        let name = ServerName::try_from(endpoint.host.clone())?;
        Ok(Box::new(TlsConnector::from(config).connect(name, io).await?))
    }
}

fn bad(what: String) -> BadSettings {
    BadSettings::Tls { what, source: None }
}

fn bad_because(what: String, source: impl std::error::Error + Send + Sync + 'static) -> BadSettings {
    BadSettings::Tls { what, source: Some(Box::new(source)) }
}

fn certificates(what: &str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, BadSettings> {
    let read = match pem {
        Pem::Text(text) => CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>(),
        Pem::File(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect),
    };
    let read = read.map_err(|e| bad_because(format!("{what} {pem:?} can not be read"), e))?;
    if read.is_empty() {
        return Err(bad(format!("{what} {pem:?} holds no certificate")));
    }
    Ok(read)
}

fn load(settings: &TlsSettings) -> Result<ClientConfig, BadSettings> {
    const FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    const FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];
    let versions = match settings.min_version {
        TlsVersion::V1_2 => FROM_1_2,
        TlsVersion::V1_3 => FROM_1_3,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("CA certificate", &settings.ca)? {
        roots
            .add(certificate)
            .map_err(|e| bad_because(format!("CA certificate {:?} can not be used", settings.ca), e))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|e| bad_because("version".to_owned(), e))?
        .with_root_certificates(roots);
    let mut config = match (&settings.cert, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates("certificate", cert)?;
            let parsed = match key {
                Pem::Text(text) => PrivateKeyDer::from_pem_slice(text.as_bytes()),
                Pem::File(path) => PrivateKeyDer::from_pem_file(path),
            };
            let parsed = parsed.map_err(|e| bad_because(format!("key {key:?} can not be read"), e))?;
            builder.with_client_auth_cert(chain, parsed).map_err(|e| {
                bad_because(format!("certificate {cert:?} and key {key:?} can not be used"), e)
            })?
        }
        (Some(_), None) => return Err(bad("a certificate needs its key".to_owned())),
        (None, Some(_)) => return Err(bad("a key needs its certificate".to_owned())),
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}
