//! `touchstone serve`

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::select;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::args::ServeCommand;
use super::{Outcome, fetching};
use crate::config::Settings;
use crate::engine::Engine;
use crate::http::{self, Entrance, EntranceSettings, HttpState, KeyRate, ServeLimits};
use crate::store::AccessStore;

pub(super) fn run(settings: Settings, command: ServeCommand) -> anyhow::Result<Outcome> {
    let limits = limits(&command)?;
    ensure!(
        settings.tenant.is_default(),
        "a server answers for all tenants: leave out --tenant, the key says whose data it opens"
    );
    let keys = Arc::new(AccessStore::open(&settings.home)?);
    let entrance = Entrance::new(Arc::clone(&keys), entrance(&command)?);
    let fetcher = fetching::fetcher(&command.fetching, None, limits.max_body_bytes)?;
    let engine = Arc::new(Engine::open(settings.engine)?);
    let teller = fetching::teller(&command.fetching)?;
    let mut state = HttpState::new(engine, entrance, limits).telling_by(Arc::new(teller));
    if let Some(fetcher) = fetcher {
        state = state.fetching_photos(Arc::new(fetcher));
    }
    let runtime = Runtime::new().context("starting the threads that serve connections")?;
    let served = runtime.block_on(serve(state, &command, &keys, &settings.home));
    // Work that outlived its request's time must not hold up the end; the store is safe at any point.
    runtime.shutdown_background();
    served.map(|()| Outcome::Done)
}

/// Files that are open beside connections: databases, indexes, networks, what is being sent or fetched.
const FILES_BESIDE: usize = 512;
/// Connections that lie idle take about 20 kB each.
const MAX_CONNECTIONS: usize = 16_384;

/// Files that the process may have open, raised to what the system lets it have: idle connections must not keep
/// others out.
#[cfg(target_os = "linux")]
fn files_allowed() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid place for the limit, which outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return 0;
        }
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
            limit = raised;
        }
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

#[cfg(not(target_os = "linux"))]
fn files_allowed() -> usize {
    0
}

fn limits(command: &ServeCommand) -> anyhow::Result<ServeLimits> {
    ensure!(
        command.max_body_mib > 0,
        "--max-body-mib must be at least 1"
    );
    ensure!(command.timeout_s > 0, "--timeout-s must be at least 1");
    ensure!(
        command.max_requests > 0,
        "--max-requests must be at least 1"
    );
    let request_timeout = Duration::from_secs(command.timeout_s);
    let defaults = ServeLimits::default();
    let for_files = files_allowed()
        .saturating_sub(FILES_BESIDE)
        .min(MAX_CONNECTIONS);
    Ok(ServeLimits {
        max_body_bytes: command.max_body_mib << 20,
        request_timeout,
        max_requests: command.max_requests,
        // Turning a request away takes a connection too.
        max_connections: for_files
            .max(defaults.max_connections)
            .max(2 * command.max_requests),
        keep_scans_days: command.keep_scans_days,
        drain_timeout: request_timeout,
        ..defaults
    })
}

fn entrance(command: &ServeCommand) -> anyhow::Result<EntranceSettings> {
    let per_second = NonZeroU32::new(command.rate).context("--rate must be at least 1")?;
    let burst = NonZeroU32::new(command.burst).context("--burst must be at least 1")?;
    Ok(EntranceSettings {
        is_open: command.open,
        behind_tls: command.behind_tls,
        rate: Some(KeyRate { per_second, burst }),
    })
}

/// Prints how to get in while there are no keys. Behind a proxy the address differs, the rest does not.
fn print_first_link(
    keys: &AccessStore,
    home: &Path,
    command: &ServeCommand,
    address: SocketAddr,
) -> anyhow::Result<()> {
    if command.open || keys.has_keys()? {
        return Ok(());
    }
    let token = keys.create_link(Timestamp::now())?;
    let host = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    let scheme = if command.behind_tls { "https" } else { "http" };
    eprintln!(
        "There are no keys yet. Sign in as the operator, once, within an hour:\n\n  \
         {scheme}://{host}/sign-in?once={token}\n\n\
         or make a key with `touchstone --home {} keys create --role operator --label NAME`.",
        home.display()
    );
    Ok(())
}

async fn serve(
    state: HttpState,
    command: &ServeCommand,
    keys: &AccessStore,
    home: &Path,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(command.listen)
        .await
        .with_context(|| format!("listening on {}", command.listen))?;
    let address = listener.local_addr().context("asking for the address")?;
    print_first_link(keys, home, command, address)?;
    let (stop, stopped) = oneshot::channel();
    let serving = http::serve(listener, state, async {
        // A sender that is gone means the same.
        let _ = stopped.await;
    });
    select! {
        served = serving => Ok(served?),
        () = wait_for_signals(stop) => {
            warn!("stopped without waiting for requests in progress");
            Ok(())
        }
    }
}

/// The first signal ends the server, a second one its patience: ready then.
async fn wait_for_signals(stop: oneshot::Sender<()>) {
    signal().await;
    info!("stopping: no new requests, those in progress are answered");
    // The server may have ended by itself.
    let _ = stop.send(());
    signal().await;
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            warn!(%error, "signals cannot be waited for; they end the program at once");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        warn!(%error, "Ctrl-C cannot be waited for; it ends the program at once");
        std::future::pending().await
    }
}
