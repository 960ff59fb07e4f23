//! Doing the scans that were asked for: one at a time, of all tenants, beside the photos of requests.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{error, info, warn};

use super::super::access::Tenants;
use super::super::workers::Workers;
use super::source_of;
use crate::config::tenant_home;
use crate::domain::TenantName;
use crate::engine::Engine;
use crate::fetch::{BlockingFetcher, Fetcher};
use crate::report::{ReportError, ReportFormat, SummaryFile};
use crate::scanning::{JobError, JobFiles, plain_reason, run_job};
use crate::store::{ScanRecord, Store, StoreError};

/// How often is looked whether a scan waits.
const PAUSE: Duration = Duration::from_millis(500);
/// How often is looked whether one waits of a tenant that is not open: it takes some milliseconds for each.
const VISIT_EVERY: Duration = Duration::from_secs(60);
/// How often is written down how far one is, and looked whether it is still wanted.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How often is looked whether scans are past their time.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// What is told of what went wrong on this side.
const FAILED_HERE: &str = "something went wrong on this side; the cause is in the server's log";

/// The work on scans, ended when this is dropped; what was under way is gone on with at the next start.
pub(in crate::http) struct Scanning {
    stop: Arc<AtomicBool>,
}

impl Scanning {
    /// Begins it in a thread of its own. Photos given by web addresses are fetched by `fetcher`.
    /// Scans are forgotten with their files `keep_days` after they ended.
    pub fn start(tenants: Arc<Tenants>, fetcher: Option<Arc<Fetcher>>, keep_days: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("scanning".to_owned());
        if let Err(error) = thread.spawn(move || work(&tenants, fetcher, keep_days, &stopped)) {
            warn!(%error, "no thread to scan in; scans wait for the next start");
        }
        Self { stop }
    }
}

impl Drop for Scanning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn work(tenants: &Tenants, fetcher: Option<Arc<Fetcher>>, keep_days: u32, stop: &AtomicBool) {
    let fetcher = match fetcher.map(BlockingFetcher::new).transpose() {
        Ok(fetcher) => fetcher.map(Arc::new),
        Err(error) => {
            warn!(%error, "no thread to fetch in; photos at web addresses fail");
            None
        }
    };
    let mut engines = vec![tenants.default_workers().engine()];
    for name in tenants.names() {
        match tenants.opened(&name) {
            Ok(workers) => engines.push(workers.engine()),
            Err(error) => error!(%error, tenant = %name, "could not be opened"),
        }
    }
    for engine in engines {
        if let Err(error) = engine.store().requeue_scans() {
            error!(%error, "scans that were cut off cannot be gone on with");
        }
    }
    let mut forgot_at: Option<Instant> = None;
    let mut visited_at: Option<Instant> = None;
    // Tenants of which a scan waits stay open.
    let mut held: Vec<Arc<Workers>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut did_one = false;
        if forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            forgot_at = Some(Instant::now());
            for engine in tenants.all() {
                forget_expired(&engine, keep_days);
            }
        }
        if visited_at.is_none_or(|at| at.elapsed() >= VISIT_EVERY) {
            visited_at = Some(Instant::now());
            held = with_waiting(tenants);
        }
        held.retain(has_waiting);
        for engine in tenants.engines() {
            match engine.store().claim_scan() {
                Ok(Some(scan)) => {
                    did_one = true;
                    do_one(&engine, &scan, fetcher.clone(), stop);
                }
                Ok(None) => {}
                Err(error) => error!(%error, "scans cannot be looked for"),
            }
        }
        if !did_one {
            thread::sleep(PAUSE);
        }
    }
}

/// The tenants of which a scan waits, opened: each was when its scan was handed in, but another may have
/// taken its place since.
fn with_waiting(tenants: &Tenants) -> Vec<Arc<Workers>> {
    let home = tenants.default_workers().engine().settings().home.clone();
    // Held while others are opened, lest one of these takes the place of another.
    let open = tenants.open();
    let is_open = |name: &TenantName| open.iter().any(|(other, _)| other == name);
    let mut opened = Vec::new();
    for name in tenants.names().into_iter().filter(|name| !is_open(name)) {
        let store = Store::open(&tenant_home(&home, &name));
        let workers = match store.and_then(|store| store.has_waiting_scan()) {
            Ok(false) => continue,
            Ok(true) => tenants.opened(&name),
            Err(error) => Err(error.into()),
        };
        match workers {
            Ok(workers) => opened.push(workers),
            Err(error) => error!(%error, tenant = %name, "scans cannot be looked for"),
        }
    }
    let open = open.into_iter().map(|(_, workers)| workers);
    open.chain(opened).filter(has_waiting).collect()
}

fn has_waiting(workers: &Arc<Workers>) -> bool {
    // What cannot be read now may be later.
    workers.engine().store().has_waiting_scan().unwrap_or(true)
}

fn do_one(
    engine: &Engine,
    scan: &ScanRecord,
    fetcher: Option<Arc<BlockingFetcher>>,
    stop: &AtomicBool,
) {
    info!(scan = scan.id.0, n_photos = scan.n_photos, "scanning");
    let files = JobFiles::new(super::folder_of(engine, scan));
    let mut noted = Instant::now();
    let mut is_wanted = true;
    let goes_on = |n_done| {
        if noted.elapsed() >= NOTE_EVERY {
            noted = Instant::now();
            // A store that cannot be written now may be later.
            is_wanted = engine.store().note_scan(scan.id, n_done).unwrap_or(true);
        }
        is_wanted && !stop.load(Ordering::Relaxed)
    };
    let source = source_of(engine, scan);
    // A panic would end all scans.
    let run = AssertUnwindSafe(|| run_job(engine, &source, &scan.name, &files, fetcher, goes_on));
    let ended = match catch_unwind(run) {
        Ok(Ok(_)) => end_well(engine, scan, &files),
        Ok(Err(JobError::Stopped)) if is_wanted => engine.store().requeue_scan(scan.id),
        Ok(Err(JobError::Stopped)) => Ok(false),
        // Another server on the same home does it.
        Ok(Err(JobError::Report(ReportError::InUse { .. }))) => return,
        Ok(Err(JobError::Source(error))) => {
            let reason = plain_reason(&error);
            engine.store().end_scan(scan.id, Err(&reason))
        }
        Ok(Err(error)) => {
            error!(scan = scan.id.0, %error, "a scan failed");
            engine.store().end_scan(scan.id, Err(FAILED_HERE))
        }
        Err(_) => {
            error!(scan = scan.id.0, "a scan ended in a panic");
            engine.store().end_scan(scan.id, Err(FAILED_HERE))
        }
    };
    match ended {
        Ok(true) => {}
        Ok(false) => clear_up(engine, scan),
        Err(error) => error!(scan = scan.id.0, %error, "the end of a scan cannot be written down"),
    }
}

/// The summary, without what tells of this machine.
fn end_well(engine: &Engine, scan: &ScanRecord, files: &JobFiles) -> Result<bool, StoreError> {
    let summary = SummaryFile::read(&files.results(ReportFormat::Jsonl));
    let Ok(Some(summary)) = summary else {
        return engine.store().end_scan(scan.id, Err(FAILED_HERE));
    };
    let mut told: serde_json::Map<String, Value> = summary.rest.into_iter().collect();
    for name in ["peak_memory_bytes", "parts"] {
        told.remove(name);
    }
    told.insert("n_failed".to_owned(), summary.n_failed.into());
    told.insert(
        "registry_revision".to_owned(),
        summary.scan.stamp.registry_revision.into(),
    );
    let store = engine.store();
    store.end_scan(scan.id, Ok((summary.n_photos, &Value::Object(told))))
}

/// Forgets scans that ended too long ago. The row goes first: files without one are no scan any more.
fn forget_expired(engine: &Engine, keep_days: u32) {
    match engine.store().forget_scans(keep_days) {
        Ok(forgotten) => forgotten.iter().for_each(|scan| remove_files(engine, scan)),
        Err(error) => error!(%error, "scans past their time cannot be forgotten"),
    }
}

/// Removes the files of a scan that was forgotten while it was at work. Those of one that is in the list
/// stay, whatever became of it meanwhile.
fn clear_up(engine: &Engine, scan: &ScanRecord) {
    match engine.store().scan(scan.id) {
        Err(StoreError::NoSuchScan { .. }) => remove_files(engine, scan),
        Ok(_) => {}
        Err(error) => warn!(scan = scan.id.0, %error, "what is left of a scan stays"),
    }
}

/// Removes what a scan that nobody wants any more has left.
pub(super) fn remove_files(engine: &Engine, scan: &ScanRecord) {
    let folder = super::folder_of(engine, scan);
    if let Err(error) = fs::remove_dir_all(&folder) {
        warn!(%error, folder = %folder.display(), "what is left of a scan stays");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::embed::fake::FakeEmbedder;
    use crate::engine::{Stages, fake};
    use crate::matching::judge::Judge;
    use crate::store::NewScan;

    fn engine(home: &Path) -> Engine {
        let judge = Judge {
            provenance: "made for tests".to_owned(),
            models: BTreeMap::new(),
        };
        let store = Store::open(home).expect("a store");
        let embedder = Box::new(FakeEmbedder::default());
        fake::engine(home, Stages::none(), judge, embedder, store).expect("an engine")
    }

    #[test]
    fn tenants_of_which_a_scan_waits_are_opened_and_stay_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_owned();
        let tenants = Tenants::new(Arc::new(engine(&home)));
        // More than are open at once, and one without a scan.
        let names: Vec<TenantName> = (0..34)
            .map(|n| format!("tenant-{n}").parse().expect("a name"))
            .collect();
        for (n, name) in names.iter().enumerate() {
            let store = Store::open(&tenant_home(&home, name)).expect("a store");
            let scan = NewScan {
                folder: "folder".to_owned(),
                name: "photos.tar".to_owned(),
                kind: "tar".to_owned(),
                n_photos: 1,
                asked_by: "ann".to_owned(),
            };
            if n > 0 {
                store.create_scan(&scan).expect("taken");
            }
        }
        let held = with_waiting(&tenants);
        assert_eq!(held.len(), 33);
        let open: Vec<_> = tenants.open().into_iter().map(|(name, _)| name).collect();
        assert!(names[1..].iter().all(|name| open.contains(name)));
        assert!(!open.contains(&names[0]));

        tenants.opened(&names[0]).expect("opened");
        let n_waiting = || {
            let open = tenants.open();
            open.iter()
                .filter(|(_, workers)| has_waiting(workers))
                .count()
        };
        assert_eq!(n_waiting(), 33, "one took the place of another");
        assert_eq!(with_waiting(&tenants).len(), 33);
    }
}
