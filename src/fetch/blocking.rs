//! Fetching for threads that wait, such as those of a scan.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::{FetchError, Fetched, Fetcher, ObjectState, StoreAddress};

/// A fetcher with a thread of its own.
pub struct BlockingFetcher {
    fetcher: Arc<Fetcher>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Bytes that are on their way.
pub type Coming = Receiver<Result<Fetched, FetchError>>;

/// Objects that are listed ahead of whoever takes them.
const LISTED_AHEAD: usize = 1000;

/// Objects below an address, as they are listed.
pub struct Listed {
    coming: mpsc::Receiver<Result<StoreAddress, FetchError>>,
}

impl Iterator for Listed {
    type Item = Result<StoreAddress, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.coming.blocking_recv()
    }
}

impl BlockingFetcher {
    /// Gives `fetcher` a thread.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(fetcher: impl Into<Arc<Fetcher>>) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fetching")
            .enable_all()
            .build()?;
        Ok(Self {
            fetcher: fetcher.into(),
            runtime: Some(runtime),
        })
    }

    /// What fetches.
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Most bytes that come from one address.
    pub fn max_bytes(&self) -> usize {
        self.fetcher.policy().limits.max_bytes
    }

    /// Begins to fetch an address, unless what is there is still called `etag`.
    pub fn start(&self, address: &str, etag: Option<&str>) -> Coming {
        let (sender, coming) = sync_channel(1);
        let (fetcher, address) = (Arc::clone(&self.fetcher), address.to_owned());
        let etag = etag.map(str::to_owned);
        self.runtime().spawn(async move {
            let total = fetcher.policy().limits.total;
            let fetched = fetcher.get_unless(&address, etag.as_deref(), total).await;
            // Nobody waits for it when the scan has ended before its time.
            let _ = sender.send(fetched);
        });
        coming
    }

    /// As [`Fetcher::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let coming = self.start(address, None).recv();
        match coming.expect("every fetch ends, with bytes or an error")? {
            Fetched::New(object) => Ok(object.bytes),
            Fetched::Unchanged => unreachable!("nothing was named that could be unchanged"),
        }
    }

    /// As [`Fetcher::save`].
    ///
    /// # Errors
    /// As there.
    pub fn save(&self, address: &StoreAddress, file: &mut File) -> Result<(), FetchError> {
        let saving = self.fetcher.save(address, file);
        self.runtime().block_on(saving)
    }

    /// As [`Fetcher::state`].
    ///
    /// # Errors
    /// As there.
    pub fn state(&self, address: &StoreAddress) -> Result<ObjectState, FetchError> {
        self.runtime().block_on(self.fetcher.state(address))
    }

    /// All objects below `address`, in the store's order, listed as far ahead as there is room.
    pub fn list(&self, address: &StoreAddress) -> Listed {
        let (sender, coming) = mpsc::channel(LISTED_AHEAD);
        let (fetcher, address) = (Arc::clone(&self.fetcher), address.clone());
        self.runtime().spawn(async move {
            if let Err(error) = fetcher.list(&address, &sender).await {
                // Nobody listening is no failure.
                let _ = sender.send(Err(error)).await;
            }
        });
        Listed { coming }
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("in use")
    }
}

impl Drop for BlockingFetcher {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // What nobody waits for any more must not hold up the end.
            runtime.shutdown_background();
        }
    }
}
