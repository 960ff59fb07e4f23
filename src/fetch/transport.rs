//! One HTTP request over a checked connection, TLS included.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::FetchError;
use super::connector::{Connector, Resolve};
use super::error::Cause;
use super::policy::FetchPolicy;

/// How the fetcher is called at the other side.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("touchstone/", env!("CARGO_PKG_VERSION")));
/// Room for the head of an answer.
pub(super) const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long a connection waits for a further request.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_secs(15);
/// Connections to one host that wait.
pub(super) const MAX_IDLE_CONNECTIONS: usize = 4;

/// The HTTP client. Proxies that the environment names are not used: they would connect unchecked.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    max_bytes: usize,
    idle: Duration,
}

impl Transport {
    /// Trusts Mozilla's certificate authorities, and `authorities`.
    pub(super) fn new(
        policy: &Arc<FetchPolicy>,
        resolver: Arc<dyn Resolve>,
        authorities: &[CertificateDer<'static>],
    ) -> Self {
        let connector = Connector::new(Arc::clone(policy), resolver);
        Self {
            client: client(connector, MAX_IDLE_CONNECTIONS, authorities),
            max_bytes: policy.limits.max_bytes,
            idle: policy.limits.idle,
        }
    }

    /// Sends `request` to `host` and gives the head of its answer, if it comes within `patience`.
    pub(super) async fn send(
        &self,
        host: &str,
        mut request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Incoming>, FetchError> {
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match timeout(patience, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| named(host, error)),
            Err(_) => Err(stalled(host, patience)),
        }
    }

    /// The body of an answer, whole, however its length is given.
    pub(super) async fn body(
        &self,
        host: &str,
        answer: Response<Incoming>,
    ) -> Result<Vec<u8>, FetchError> {
        let coding = answer.headers().get(CONTENT_ENCODING);
        if let Some(coding) = coding.filter(|coding| *coding != "identity") {
            return Err(FetchError::Encoded {
                host: host.to_owned(),
                coding: String::from_utf8_lossy(coding.as_bytes()).into_owned(),
            });
        }
        let too_large = || FetchError::TooLarge {
            host: host.to_owned(),
            limit: self.max_bytes,
        };
        let mut body = answer.into_body();
        if body.size_hint().lower() > self.max_bytes as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        loop {
            let frame = match timeout(self.idle, body.frame()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(bytes),
                Err(_) => return Err(stalled(host, self.idle)),
            };
            let frame = frame.map_err(|error| FetchError::Broken {
                host: host.to_owned(),
                cause: Arc::new(error),
            })?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > self.max_bytes {
                    return Err(too_large());
                }
                bytes.extend_from_slice(data);
            }
        }
    }
}

fn stalled(host: &str, patience: Duration) -> FetchError {
    FetchError::Stalled {
        host: host.to_owned(),
        idle_s: patience.as_secs(),
    }
}

/// A client for addresses that the operator gave, which are not checked; it trusts Mozilla's certificate
/// authorities, and `authorities`.
pub(super) fn operators_client<B>(
    connect: Duration,
    max_idle_connections: usize,
    authorities: &[CertificateDer<'static>],
) -> Client<HttpsConnector<HttpConnector>, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    client(tcp, max_idle_connections, authorities)
}

/// A client over connections that `connector` makes.
fn client<C, B>(
    connector: C,
    max_idle_connections: usize,
    authorities: &[CertificateDer<'static>],
) -> Client<HttpsConnector<C>, B>
where
    HttpsConnector<C>: Connect + Clone,
    B: Body + Send,
    B::Data: Send,
{
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(authorities))
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(max_idle_connections)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .build(connector)
}

fn tls(authorities: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(authorities.iter().cloned());
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The client wraps what its connector says; this finds it again.
fn named(host: &str, error: hyper_util::client::legacy::Error) -> FetchError {
    let host = host.to_owned();
    if !error.is_connect() {
        let cause = Arc::new(error);
        return FetchError::Broken { host, cause };
    }
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    let mut is_certificate = false;
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<FetchError>() {
            return own.clone();
        }
        is_certificate |= is_of_tls(cause);
        next = cause.source();
    }
    let cause: Cause = Arc::new(error);
    if is_certificate {
        FetchError::Untrusted { host, cause }
    } else {
        FetchError::Unreachable { host, cause }
    }
}

/// An I/O error does not give the error inside it as its source, but its source's; here one lies in
/// another.
fn is_of_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => is_of_tls(inner),
        None => error.is::<rustls::Error>(),
    }
}
