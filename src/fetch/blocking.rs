//! Fetching for threads that wait, such as those of a scan.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use tokio::runtime::{Builder, Runtime};

use super::{FetchError, Fetcher};

/// A fetcher with a thread of its own.
pub struct BlockingFetcher {
    fetcher: Arc<Fetcher>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Bytes that are on their way.
pub type Coming = Receiver<Result<Vec<u8>, FetchError>>;

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

    /// Most bytes that come from one address.
    pub fn max_bytes(&self) -> usize {
        self.fetcher.policy().limits.max_bytes
    }

    /// Begins to fetch an address.
    pub fn start(&self, address: &str) -> Coming {
        let (sender, coming) = sync_channel(1);
        let (fetcher, address) = (Arc::clone(&self.fetcher), address.to_owned());
        let runtime = self.runtime.as_ref().expect("in use");
        runtime.spawn(async move {
            // Nobody waits for it when the scan has ended before its time.
            let _ = sender.send(fetcher.get(&address).await);
        });
        coming
    }

    /// As [`Fetcher::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let coming = self.start(address);
        coming
            .recv()
            .expect("every fetch ends, with bytes or an error")
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
