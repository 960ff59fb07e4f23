//! The tenants' engines: each tenant has a data folder of its own, opened on first use, and with it
//! records and registry of its own. No query can forget to ask whose a row is.

use std::collections::HashMap;
use std::fs;
use std::iter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task;

use super::super::problem::{Problem, ProblemKind};
use super::super::workers::Workers;
use crate::config::tenant_home;
use crate::domain::TenantName;
use crate::engine::{Engine, EngineError};

/// Tenants open at once beside the default one; another takes the place of the one that was idle
/// longest. Networks are shared, a registry takes some kilobytes for each picture.
const MAX_OPEN: usize = 32;

/// The engines of all tenants.
pub(in crate::http) struct Tenants {
    /// The default tenant's, whose home holds the others'.
    default: Arc<Workers>,
    open: Mutex<HashMap<TenantName, Open>>,
    /// Held while one is opened, so that none is opened twice.
    opening: Mutex<()>,
}

struct Open {
    workers: Arc<Workers>,
    used_at: Instant,
}

impl Tenants {
    pub fn new(default: Arc<Engine>) -> Self {
        Self {
            default: Arc::new(Workers::new(default)),
            open: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// The default tenant's.
    pub fn default_workers(&self) -> Arc<Workers> {
        Arc::clone(&self.default)
    }

    /// A tenant's; its folder is made if missing.
    pub async fn workers(self: &Arc<Self>, name: &TenantName) -> Result<Arc<Workers>, Problem> {
        if let Some(workers) = self.known(name) {
            return Ok(workers);
        }
        let (tenants, name) = (Arc::clone(self), name.clone());
        let opened = task::spawn_blocking(move || tenants.opened(&name)).await;
        let opened = opened.map_err(|error| Problem::hidden(ProblemKind::Internal, &error))?;
        opened.map_err(|error| Problem::hidden(ProblemKind::Internal, &error))
    }

    /// As [`Tenants::workers`], for threads that may wait.
    pub fn opened(&self, name: &TenantName) -> Result<Arc<Workers>, EngineError> {
        let _opening = lock(&self.opening);
        if let Some(workers) = self.known(name) {
            return Ok(workers);
        }
        let engine = self.open_folder(name)?;
        tracing::info!(tenant = %name, "opened");
        let workers = Arc::new(self.default.beside(Arc::new(engine)));
        let mut open = lock(&self.open);
        make_room(&mut open);
        open.insert(
            name.clone(),
            Open {
                workers: Arc::clone(&workers),
                used_at: Instant::now(),
            },
        );
        Ok(workers)
    }

    /// The tenants that are open now, the default one first.
    pub fn open(&self) -> Vec<(TenantName, Arc<Workers>)> {
        let mut all = vec![(TenantName::default(), self.default_workers())];
        let open = lock(&self.open);
        let others = open
            .iter()
            .map(|(name, open)| (name.clone(), Arc::clone(&open.workers)));
        all.extend(others);
        all
    }

    /// The engines that are open now, the default one first.
    pub fn engines(&self) -> Vec<Arc<Engine>> {
        let mut engines = vec![self.default.engine()];
        engines.extend(lock(&self.open).values().map(|open| open.workers.engine()));
        engines
    }

    /// All engines in turn, the default one first. One that is not open is opened for as long as it is
    /// looked at, and takes no place of those that are in use.
    pub fn all(&self) -> impl Iterator<Item = Arc<Engine>> {
        let others = self.names().into_iter().filter_map(move |name| {
            let engine = self.looked_at(&name);
            engine
                .inspect_err(|error| tracing::error!(%error, tenant = %name, "could not be opened"))
                .ok()
        });
        iter::once(self.default.engine()).chain(others)
    }

    fn looked_at(&self, name: &TenantName) -> Result<Arc<Engine>, EngineError> {
        if let Some(open) = lock(&self.open).get(name) {
            return Ok(open.workers.engine());
        }
        self.open_folder(name).map(Arc::new)
    }

    fn open_folder(&self, name: &TenantName) -> Result<Engine, EngineError> {
        let default = self.default.engine();
        default.open_beside(tenant_home(&default.settings().home, name))
    }

    /// The tenants that have a folder, but for the default one.
    pub fn names(&self) -> Vec<TenantName> {
        let folder = tenants_folder(&self.default.engine());
        let Ok(entries) = fs::read_dir(folder) else {
            // Nobody but the default tenant has been here.
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    fn known(&self, name: &TenantName) -> Option<Arc<Workers>> {
        if name.is_default() {
            return Some(self.default_workers());
        }
        let mut open = lock(&self.open);
        let known = open.get_mut(name)?;
        known.used_at = Instant::now();
        Some(Arc::clone(&known.workers))
    }
}

fn tenants_folder(default: &Engine) -> PathBuf {
    crate::config::tenants_folder(&default.settings().home)
}

/// Lets go of those idle longest. Those at work stay: a folder may be open twice, but not for nothing.
fn make_room(open: &mut HashMap<TenantName, Open>) {
    while open.len() >= MAX_OPEN {
        let idle = open
            .iter()
            .filter(|(_, open)| Arc::strong_count(&open.workers) == 1);
        let oldest = idle.min_by_key(|(_, open)| open.used_at);
        let Some(name) = oldest.map(|(name, _)| name.clone()) else {
            return;
        };
        open.remove(&name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole between any two calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
