//! Connections that are made only to addresses that were checked: the name is resolved here, each
//! address that comes back is checked, and the socket is opened to that very address. Who changes a
//! name's address between check and use changes nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::FetchError;
use super::policy::{FetchPolicy, literal};

/// A future of a trait's method.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, which is a name.
    fn resolve<'a>(&'a self, host: &'a str) -> Later<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Later<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Opens connections for the HTTP client.
#[derive(Clone)]
pub(super) struct Connector {
    policy: Arc<FetchPolicy>,
    resolver: Arc<dyn Resolve>,
}

impl Connector {
    pub(super) fn new(policy: Arc<FetchPolicy>, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, resolver }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, FetchError> {
        let host = uri.host().unwrap_or_default().to_owned();
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let mut last = None;
        for address in self.addresses(&host, port).await? {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            match timeout(self.policy.limits.connect, connecting).await {
                Ok(Ok(stream)) => {
                    // Requests are written in one go; waiting to join them with more only delays them.
                    let _ = stream.set_nodelay(true);
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        let cause = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(FetchError::Unreachable {
            host,
            cause: Arc::new(cause),
        })
    }

    /// The addresses of `host` that may be connected to, one at least.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<IpAddr>, FetchError> {
        let unresolved = |cause| FetchError::Unresolved {
            host: host.to_owned(),
            cause: Arc::new(cause),
        };
        let all = match literal(host) {
            Some(address) => vec![address],
            None => self.resolver.resolve(host).await.map_err(unresolved)?,
        };
        if all.is_empty() {
            return Err(unresolved(io::ErrorKind::NotFound.into()));
        }
        let may = |address: &IpAddr| self.policy.lets(host, *address, port);
        let allowed: Vec<IpAddr> = all.into_iter().filter(may).collect();
        if allowed.is_empty() {
            return Err(FetchError::NotPublic {
                host: host.to_owned(),
            });
        }
        Ok(allowed)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = FetchError;
    type Future = Later<'static, Result<Self::Response, FetchError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
