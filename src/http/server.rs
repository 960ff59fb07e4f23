//! Connections: accepting them, cutting slow ones, and letting the rest finish at the end.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, info, warn};

use super::scans::Scanning;
use super::tending::Tending;
use super::webhooks::Telling;
use super::{HttpState, ServeLimits, router};

/// Why a server could not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Without keys, whoever reaches the server owns the registry.
    #[error(
        "{address} can be reached from other machines, which may not do without keys: listen on 127.0.0.1, or leave out --open"
    )]
    NotLoopback {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The listener is of no use.
    #[error("the listening socket does not say its address")]
    Listener(#[source] io::Error),
}

/// Room that a connection's buffer may take; heads of requests must fit in.
const MAX_BUFFER_BYTES: usize = 128 << 10;
/// Pause after the system refuses a connection, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests on `listener` until `shutdown` is ready; then takes no new ones and returns when
/// those in progress are answered, or cut off after [`ServeLimits::drain_timeout`].
///
/// # Errors
/// [`ServeError::NotLoopback`] for an address that other machines reach, when no keys are asked for.
pub async fn serve(
    listener: TcpListener,
    state: HttpState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let is_loopback = address.ip().to_canonical().is_loopback();
    if state.entrance.is_open() && !is_loopback {
        return Err(ServeError::NotLoopback { address });
    }
    if !is_loopback && !state.entrance.behind_tls() {
        warn!(
            "keys and cookies cross the network in the clear: put HTTPS before this, then --behind-tls"
        );
    }
    info!("listening on http://{address}, stop with Ctrl-C");
    let limits = state.limits.clone();
    let drain_timeout = limits.drain_timeout;
    let _tending = Tending::start(Arc::clone(&state.tenants));
    let _telling = Telling::start(Arc::clone(&state.tenants), Arc::clone(&state.teller));
    let _scanning = Scanning::start(
        Arc::clone(&state.tenants),
        state.photo_fetcher(),
        limits.keep_scans_days,
    );
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let door = Door {
        builder: builder(&limits),
        write_timeout: limits.write_timeout,
        router: router(state),
    };
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        select! {
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(door.clone().attend(stream, graceful.watcher(), place));
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    if timeout(drain_timeout, graceful.shutdown()).await.is_err() {
        warn!(
            n_connections = connections.len(),
            "cut off what was not done in time"
        );
    }
    connections.shutdown().await;
    Ok(())
}

fn builder(limits: &ServeLimits) -> auto::Builder<TokioExecutor> {
    // HTTP/1.1 only: waiting for a connection to show its version has no time limit in this builder,
    // and in HTTP/2 a request's head has none.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_BUFFER_BYTES);
    builder
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // The other side has gone; nothing is wrong here.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What every connection is attended with.
#[derive(Clone)]
struct Door {
    builder: auto::Builder<TokioExecutor>,
    write_timeout: Duration,
    router: Router,
}

impl Door {
    async fn attend(self, stream: TcpStream, watcher: Watcher, place: OwnedSemaphorePermit) {
        let io = TokioIo::new(patient(stream, self.write_timeout));
        let service = TowerToHyperService::new(self.router);
        let connection = self.builder.serve_connection(io, service);
        if let Err(error) = watcher.watch(connection).await {
            debug!(error, "a connection ended early");
        }
        drop(place);
    }
}

/// A stream that fails when the other side stops reading.
fn patient(stream: TcpStream, write_timeout: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    // Answers are written in one go; waiting to join them with more only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "small answers may be late");
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write_timeout));
    Box::pin(stream)
}
