//! Why a connection does not come about.
//!
//! The client's error says of an encryption or a login that failed only that it did. So the
//! beginning of a connection is tried once more, for the reason.

use std::{io, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use pulsar::{
    authentication::Authentication,
    error::ConnectionError,
    message::{Codec, Message},
    proto::{BaseCommand, CommandConnect, ServerError, base_command::Type},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::codec::Framed;

use crate::net::BoxIo;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(3);

/// What the client speaks.
const PROTOCOL: i32 = 12;

/// Tries to reach the broker at `host:port`, and says what is in the way, if it was found out.
pub(super) async fn obstacle(
    address: &str,
    roots: Option<&RootCertStore>,
    login: Option<&mut dyn Authentication>,
) -> Option<String> {
    match timeout(LIMIT, greet(address, roots, login)).await {
        Ok(Ok(())) => None,
        Ok(Err(obstacle)) => Some(obstacle),
        Err(_) => Some(format!("no answer within {LIMIT:?}")),
    }
}

async fn greet(
    address: &str,
    roots: Option<&RootCertStore>,
    login: Option<&mut dyn Authentication>,
) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let stream: BoxIo = match roots {
        None => Box::new(stream),
        Some(roots) => encrypt(address, stream, roots).await.map_err(|e| format!("encryption: {e}"))?,
    };
    let mut connect = CommandConnect {
        client_version: "milvus-coord".into(),
        protocol_version: Some(PROTOCOL),
        ..CommandConnect::default()
    };
    if let Some(login) = login {
        connect.auth_method_name = Some(login.auth_method_name());
        connect.auth_data = Some(login.auth_data().await.map_err(|e| e.to_string())?);
    }
    let command =
        BaseCommand { r#type: Type::Connect as i32, connect: Some(connect), ..BaseCommand::default() };
    let mut stream = Framed::new(stream, Codec);
    let words = |e: ConnectionError| e.to_string();
    stream.send(Message { command, payload: None }).await.map_err(words)?;
    match stream.next().await {
        None => Err("the broker ended the connection".into()),
        Some(Err(e)) => Err(words(e)),
        Some(Ok(Message { command: BaseCommand { error: Some(error), .. }, .. })) => {
            let kind = ServerError::try_from(error.error).map_or("error", |kind| kind.as_str_name());
            Err(format!("{kind}: {}", error.message))
        }
        Some(Ok(_)) => Ok(()),
    }
}

async fn encrypt(address: &str, stream: TcpStream, roots: &RootCertStore) -> io::Result<BoxIo> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}
