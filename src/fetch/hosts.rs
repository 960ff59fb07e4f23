//! How many requests are under way to each host, and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hosts remembered before those that nobody waits for are let go.
const MAX_IDLE_HOSTS: usize = 1024;

/// Room for requests.
#[derive(Debug)]
pub(super) struct Hosts {
    per_host: usize,
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Leave for one request, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Hosts {
    pub(super) fn new(per_host: usize, in_all: usize) -> Self {
        Self {
            per_host: per_host.max(1),
            all: Arc::new(Semaphore::new(in_all.max(1))),
            hosts: Mutex::default(),
        }
    }

    /// Waits until a request to `host` may be made. The host's turn comes first: whoever waits for a slow
    /// host takes no room from the others.
    pub(super) async fn turn(&self, host: &str) -> Turn {
        let host = self.room_of(host);
        let take = |room: Arc<Semaphore>| async {
            let permit = room.acquire_owned().await;
            permit.expect("room for requests is never closed")
        };
        let _host = take(host).await;
        let _all = take(Arc::clone(&self.all)).await;
        Turn { _host, _all }
    }

    fn room_of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_IDLE_HOSTS && !hosts.contains_key(host) {
            hosts.retain(|_, room| {
                Arc::strong_count(room) > 1 || room.available_permits() < self.per_host
            });
        }
        let room = hosts
            .entry(host.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.per_host)));
        Arc::clone(room)
    }
}
