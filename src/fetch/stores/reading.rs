//! Reading and listing objects: bounded in bytes, seconds, and requests to one store at once.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{GetOptions, GetResult, ObjectStore, RetryConfig};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::super::hosts::{Hosts, Turn};
use super::super::{FetchError, FetchLimits, Fetched};
use super::connection::StoreConnector;
use super::{StoreAddress, StoreKind};
use crate::domain::with_causes;

/// The state of an object, as far as that shows without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectState {
    /// Length, bytes.
    pub n_bytes: u64,
    /// When it was written.
    pub changed: SystemTime,
}

/// What came of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What the other side calls these very bytes, to ask later whether they are still there.
    pub etag: Option<String>,
}

/// Reads from stores. Each is opened when first asked for.
pub(in super::super) struct Stores {
    connector: StoreConnector,
    limits: FetchLimits,
    turns: Hosts,
    opened: Mutex<HashMap<StoreAddress, Arc<Opened>>>,
}

/// A store, and whether its trouble was told.
struct Opened {
    store: Box<dyn ObjectStore>,
    is_told: Mutex<bool>,
}

impl Stores {
    pub(in super::super) fn new(
        limits: &FetchLimits,
        authorities: &[CertificateDer<'static>],
    ) -> Self {
        Self {
            connector: StoreConnector::new(limits, authorities),
            limits: limits.clone(),
            turns: Hosts::new(limits.per_store, limits.in_all),
            opened: Mutex::default(),
        }
    }

    /// Opens the store of `address` with what the environment says of it; makes no connection.
    pub(in super::super) fn check(&self, address: &StoreAddress) -> Result<(), FetchError> {
        self.opened(address).map(drop)
    }

    fn opened(&self, address: &StoreAddress) -> Result<Arc<Opened>, FetchError> {
        let name = address.store();
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = all.get(&name) {
            return Ok(Arc::clone(opened));
        }
        let store = self
            .open(&name)
            .map_err(|cause| FetchError::StoreSettings {
                store: name.to_string(),
                cause: Arc::new(cause),
            })?;
        let opened = Arc::new(Opened {
            store,
            is_told: Mutex::default(),
        });
        all.insert(name, Arc::clone(&opened));
        Ok(opened)
    }

    fn open(&self, name: &StoreAddress) -> object_store::Result<Box<dyn ObjectStore>> {
        let (bucket, connector) = (name.bucket(), self.connector.clone());
        let retry = RetryConfig {
            max_retries: self.limits.max_tries.saturating_sub(1) as usize,
            retry_timeout: self.limits.total,
            ..RetryConfig::default()
        };
        Ok(match name.kind() {
            StoreKind::S3 => Box::new(
                AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
            StoreKind::Gcs => Box::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
            StoreKind::Azure => Box::new(
                MicrosoftAzureBuilder::from_env()
                    .with_container_name(bucket)
                    .with_retry(retry)
                    .with_http_connector(connector)
                    .build()?,
            ),
        })
    }

    /// The object at `address`, unless it is still the one that is called `unless`.
    pub(in super::super) async fn get(
        &self,
        address: &StoreAddress,
        unless: Option<&str>,
        total: Duration,
    ) -> Result<Fetched, FetchError> {
        let max_bytes = self.limits.max_bytes;
        let getting = async {
            let _turn = self.turn(address).await;
            let opened = self.opened(address)?;
            let options = GetOptions {
                if_none_match: unless.map(str::to_owned),
                ..GetOptions::default()
            };
            let found = match opened.store.get_opts(&address.path(), options).await {
                Ok(found) => found,
                Err(object_store::Error::NotModified { .. }) => return Ok(Fetched::Unchanged),
                Err(error) => return Err(opened.trouble(address, error)),
            };
            let too_large = || FetchError::TooLarge {
                host: address.to_string(),
                limit: max_bytes,
            };
            if found.meta.size > max_bytes as u64 {
                return Err(too_large());
            }
            let etag = found.meta.e_tag.clone();
            let mut bytes = Vec::with_capacity(found.meta.size as usize);
            self.receive(&opened, address, found, |part| {
                if bytes.len() + part.len() > max_bytes {
                    return Err(too_large());
                }
                bytes.extend_from_slice(part);
                Ok(())
            })
            .await?;
            Ok(Fetched::New(Object { bytes, etag }))
        };
        timeout(total, getting).await.unwrap_or_else(|_| {
            Err(FetchError::TooSlow {
                host: address.to_string(),
                limit_ms: total.as_millis() as u64,
            })
        })
    }

    /// Writes the object to `file`, however large it is, as long as something comes.
    pub(in super::super) async fn save(
        &self,
        address: &StoreAddress,
        file: &mut std::fs::File,
    ) -> Result<(), FetchError> {
        let _turn = self.turn(address).await;
        let opened = self.opened(address)?;
        let path = address.path();
        let getting = opened.store.get_opts(&path, GetOptions::default());
        let found = self.within(address, getting).await?;
        let found = found.map_err(|error| opened.trouble(address, error))?;
        self.receive(&opened, address, found, |part| {
            file.write_all(part).map_err(|cause| FetchError::NotKept {
                address: address.to_string(),
                cause: Arc::new(cause),
            })
        })
        .await
    }

    async fn receive(
        &self,
        opened: &Opened,
        address: &StoreAddress,
        found: GetResult,
        mut take: impl FnMut(&[u8]) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        let mut left = found.meta.size;
        let mut parts = found.into_stream();
        while let Some(part) = self.idle(address, parts.next()).await? {
            let part = part.map_err(|error| opened.trouble(address, error))?;
            left = left.saturating_sub(part.len() as u64);
            take(&part)?;
        }
        if left > 0 {
            let cut_off = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(FetchError::Broken {
                host: address.to_string(),
                cause: Arc::new(cut_off),
            });
        }
        Ok(())
    }

    /// How long the object is, and when it was written.
    pub(in super::super) async fn state(
        &self,
        address: &StoreAddress,
    ) -> Result<ObjectState, FetchError> {
        let _turn = self.turn(address).await;
        let opened = self.opened(address)?;
        let path = address.path();
        let head = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let asking = opened.store.get_opts(&path, head);
        let found = self.within(address, asking).await?;
        let meta = found.map_err(|error| opened.trouble(address, error))?.meta;
        Ok(ObjectState {
            n_bytes: meta.size,
            changed: meta.last_modified.into(),
        })
    }

    /// Sends all objects below `address`, in the store's order, until nobody listens any more.
    pub(in super::super) async fn list(
        &self,
        address: &StoreAddress,
        to: &Sender<Result<StoreAddress, FetchError>>,
    ) -> Result<(), FetchError> {
        let opened = self.opened(address)?;
        let prefix = address.path();
        let mut found = opened.store.list(Some(&prefix));
        loop {
            // A turn for each step: whoever takes what is listed may be waiting for turns of their own.
            let next = {
                let _turn = self.turn(address).await;
                self.within(address, found.next()).await?
            };
            let Some(next) = next else {
                return Ok(());
            };
            let meta = next.map_err(|error| opened.trouble(address, error))?;
            let object = address.with_key(meta.location.as_ref());
            if to.send(object.map_err(FetchError::from)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn turn(&self, address: &StoreAddress) -> Turn {
        self.turns.turn(&address.store().to_string()).await
    }

    async fn idle<T>(
        &self,
        address: &StoreAddress,
        step: impl Future<Output = T>,
    ) -> Result<T, FetchError> {
        let idle = self.limits.idle;
        timeout(idle, step).await.map_err(|_| FetchError::Stalled {
            host: address.to_string(),
            idle_s: idle.as_secs(),
        })
    }

    /// Further tries included.
    async fn within<T>(
        &self,
        address: &StoreAddress,
        asking: impl Future<Output = T>,
    ) -> Result<T, FetchError> {
        let total = self.limits.total;
        timeout(total, asking)
            .await
            .map_err(|_| FetchError::TooSlow {
                host: address.to_string(),
                limit_ms: total.as_millis() as u64,
            })
    }
}

impl Opened {
    /// What went wrong, for whoever named the object. Its cause, which tells of endpoints and credentials, is
    /// logged: the first of each store as a warning, lest a list of millions say the same a million times.
    fn trouble(&self, address: &StoreAddress, error: object_store::Error) -> FetchError {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        let store = address.store().to_string();
        if matches!(error, NotFound { .. }) {
            return FetchError::NotThere {
                address: address.to_string(),
            };
        }
        let mut is_told = self.is_told.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = with_causes(&error);
        if std::mem::replace(&mut *is_told, true) {
            tracing::debug!(%address, %cause, "a store cannot be read");
        } else {
            tracing::warn!(%address, "the store cannot be read: {cause}");
        }
        match error {
            PermissionDenied { .. } | Unauthenticated { .. } => FetchError::StoreRefuses { store },
            error => FetchError::Store {
                store,
                cause: Arc::new(error),
            },
        }
    }
}
