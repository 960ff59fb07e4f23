//! The HTTP client under the stores: the one that is here already, instead of one more.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::time::timeout;

use super::super::FetchLimits;
use super::super::transport::{AGENT, MAX_IDLE_CONNECTIONS, operators_client};

/// Makes clients that share their connections. What `object_store` would let its own client be told is not
/// heeded, but for whether `http:` is allowed; neither are proxies of the environment.
#[derive(Debug, Clone)]
pub(super) struct StoreConnector {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
    patience: Duration,
}

impl StoreConnector {
    /// Trusts Mozilla's certificate authorities, and `authorities`.
    pub(super) fn new(limits: &FetchLimits, authorities: &[CertificateDer<'static>]) -> Self {
        let max_idle = limits.per_store.max(MAX_IDLE_CONNECTIONS);
        let client = operators_client(limits.connect, max_idle, authorities);
        Self {
            client,
            patience: limits.connect + limits.idle,
        }
    }
}

impl HttpConnector for StoreConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(StoreClient {
            connector: self.clone(),
            is_http_allowed: allowed.as_deref() == Some("true"),
        }))
    }
}

#[derive(Debug)]
struct StoreClient {
    connector: StoreConnector,
    is_http_allowed: bool,
}

/// The endpoint is given as `http:`, and nobody said that this is meant.
#[derive(Debug, Error)]
#[error(
    "an http: endpoint is used only when the environment allows it (AWS_ALLOW_HTTP=true, AZURE_ALLOW_HTTP=true)"
)]
struct HttpNotAllowed;

#[async_trait]
impl HttpService for StoreClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.uri().scheme_str() != Some("https") && !self.is_http_allowed {
            return Err(HttpError::new(HttpErrorKind::Unknown, HttpNotAllowed));
        }
        request
            .headers_mut()
            .insert(hyper::header::USER_AGENT, AGENT);
        let answering = self.connector.client.request(request);
        let answer = match timeout(self.connector.patience, answering).await {
            Ok(answer) => answer.map_err(|error| {
                let kind = if error.is_connect() {
                    HttpErrorKind::Connect
                } else {
                    HttpErrorKind::Request
                };
                HttpError::new(kind, error)
            })?,
            Err(_) => {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(HttpError::new(HttpErrorKind::Timeout, late));
            }
        };
        let (head, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}
