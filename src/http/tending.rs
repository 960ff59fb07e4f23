//! The engines' work on the side: finishing checks that a restart cut off, looking back, forgetting;
//! for all tenants in one thread, so that it takes one core at most from those who wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::access::Tenants;
use super::telemetry;
use crate::engine::Engine;

/// How soon after a registration the look back begins.
const PAUSE: Duration = Duration::from_millis(500);
/// How often what is past its time is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// The work on the side, ended when this is dropped.
pub(super) struct Tending {
    stop: Arc<AtomicBool>,
}

impl Tending {
    /// Begins it in a thread of its own.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("tending".to_owned());
        if let Err(error) = thread.spawn(move || tend(&tenants, &stopped)) {
            warn!(%error, "no thread to look back in; seen photos wait for the next start");
        }
        Self { stop }
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        // Not waited for: the photo in hand is seen to the end or taken up again at the next start.
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn tend(tenants: &Tenants, stop: &AtomicBool) {
    let goes_on = || !stop.load(Ordering::Relaxed);
    let finish = |engine: &Engine| {
        surviving(|| {
            if let Err(error) = engine.finish_held_photos(goes_on) {
                error!(%error, "checks that were cut off could not be finished");
            }
        });
    };
    finish(&tenants.default_workers().engine());
    for name in tenants.names() {
        if !goes_on() {
            return;
        }
        match tenants.opened(&name) {
            Ok(workers) => finish(&workers.engine()),
            Err(error) => error!(%error, tenant = %name, "could not be opened"),
        }
    }
    let mut forgot_at: Option<Instant> = None;
    while goes_on() {
        let forgets = forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        // What is past its time is forgotten also where nobody has asked for anything for long.
        let engines: Box<dyn Iterator<Item = Arc<Engine>>> = if forgets {
            forgot_at = Some(Instant::now());
            Box::new(tenants.all())
        } else {
            Box::new(tenants.engines().into_iter())
        };
        for engine in engines.take_while(|_| goes_on()) {
            surviving(|| engine.tend(forgets, goes_on));
        }
        telemetry::sum_up();
        thread::sleep(PAUSE);
    }
}

/// A panic in one tenant's work would end that of all.
fn surviving(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        error!("work on the side ended in a panic");
    }
}
