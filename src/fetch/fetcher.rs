//! Fetching a photo: redirects, further tries, turns; and posting to a receiver.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};
use url::Url;

use super::FetchError;
use super::connector::{Resolve, SystemResolver};
use super::hosts::Hosts;
use super::policy::{FetchPolicy, host_of};
use super::stores::{Object, ObjectState, StoreAddress, Stores};
use super::transport::Transport;
use super::waiting::{pause, retry_after};

/// Longest ETag that is remembered, bytes.
const MAX_ETAG_BYTES: usize = 256;

/// Fetches photos from addresses that others name, within a policy. Share one: it counts the requests
/// to each host, and keeps connections.
pub struct Fetcher {
    policy: Arc<FetchPolicy>,
    transport: Transport,
    hosts: Hosts,
    stores: Stores,
}

/// What came of an address that was asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// What is there.
    New(Object),
    /// The bytes that were named are still there.
    Unchanged,
}

/// What a receiver answers to what was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// When the receiver wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// What one request came to.
enum Step {
    Came(Fetched),
    Elsewhere(Url),
    Busy {
        error: FetchError,
        retry_after: Option<Duration>,
    },
}

impl Fetcher {
    /// A fetcher that asks the system's resolver, and trusts Mozilla's certificate authorities.
    pub fn new(policy: FetchPolicy) -> Self {
        Self::with(policy, Arc::new(SystemResolver), &[])
    }

    /// A fetcher that also trusts `authorities`, and finds hosts by `resolver`.
    pub fn with(
        policy: FetchPolicy,
        resolver: Arc<dyn Resolve>,
        authorities: &[CertificateDer<'static>],
    ) -> Self {
        let policy = Arc::new(policy);
        Self {
            transport: Transport::new(&policy, resolver, authorities),
            hosts: Hosts::new(policy.limits.per_host, policy.limits.in_all),
            stores: Stores::new(&policy.limits, authorities),
            policy,
        }
    }

    /// What may be fetched.
    pub fn policy(&self) -> &FetchPolicy {
        &self.policy
    }

    /// The bytes at an address, at most as many as the policy takes. What they are is not looked at.
    ///
    /// # Errors
    /// [`FetchError`] for an address that is not fetched, a host that does not answer as it should, and
    /// too many bytes, redirects or seconds.
    pub async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        self.get_within(address, self.policy.limits.total).await
    }

    /// As [`get`](Self::get), in at most `total` time.
    ///
    /// # Errors
    /// As there.
    pub async fn get_within(&self, address: &str, total: Duration) -> Result<Vec<u8>, FetchError> {
        match self.get_unless(address, None, total).await? {
            Fetched::New(object) => Ok(object.bytes),
            Fetched::Unchanged => unreachable!("nothing was named that could be unchanged"),
        }
    }

    /// As [`get_within`](Self::get_within), unless what is there is still called `etag`.
    ///
    /// # Errors
    /// As there.
    pub async fn get_unless(
        &self,
        address: &str,
        etag: Option<&str>,
        total: Duration,
    ) -> Result<Fetched, FetchError> {
        let total = total.min(self.policy.limits.total);
        if StoreAddress::is_one(address) {
            let address = self.policy.check_store(address)?;
            if address.is_folder() {
                return Err(FetchError::NotThere {
                    address: address.to_string(),
                });
            }
            return self.stores.get(&address, etag, total).await;
        }
        let url = self.policy.check_url(address)?;
        let host = host_of(&url);
        let deadline = Instant::now() + total;
        let fetched = timeout(total, self.follow(url, etag, deadline)).await;
        fetched.unwrap_or_else(|_| {
            Err(FetchError::TooSlow {
                host,
                limit_ms: total.as_millis() as u64,
            })
        })
    }

    /// Writes an object to `file`, however large, as long as something comes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn save(&self, address: &StoreAddress, file: &mut File) -> Result<(), FetchError> {
        self.policy.check_object(address)?;
        self.stores.save(address, file).await
    }

    /// How long an object is, and when it was written.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn state(&self, address: &StoreAddress) -> Result<ObjectState, FetchError> {
        self.policy.check_object(address)?;
        self.stores.state(address).await
    }

    /// Sends all objects below an address, in the store's order, until nobody listens any more.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn list(
        &self,
        address: &StoreAddress,
        to: &Sender<Result<StoreAddress, FetchError>>,
    ) -> Result<(), FetchError> {
        self.policy.check_object(address)?;
        self.stores.list(address, to).await
    }

    /// Whether the stores that may be read from can be opened with what the environment says; makes no
    /// connection.
    ///
    /// # Errors
    /// [`FetchError::StoreSettings`].
    pub fn check_stores(&self) -> Result<(), FetchError> {
        let mut stores = self.policy.stores.iter();
        stores.try_for_each(|address| self.stores.check(address))
    }

    async fn follow(
        &self,
        mut url: Url,
        etag: Option<&str>,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let limit = self.policy.limits.max_redirects;
        for _ in 0..=limit {
            match self.persist(&url, etag, deadline).await? {
                Ok(fetched) => return Ok(fetched),
                Err(elsewhere) => url = elsewhere,
            }
        }
        Err(FetchError::TooManyRedirects { limit })
    }

    /// Asks again as long as the host is busy, or breaks off; gives the body, or where it is instead.
    async fn persist(
        &self,
        url: &Url,
        etag: Option<&str>,
        deadline: Instant,
    ) -> Result<Result<Fetched, Url>, FetchError> {
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let (error, retry_after) = match self.ask(url, etag).await {
                Ok(Step::Came(fetched)) => return Ok(Ok(fetched)),
                Ok(Step::Elsewhere(url)) => return Ok(Err(url)),
                Ok(Step::Busy { error, retry_after }) => (error, retry_after),
                // A connection that was cut off.
                Err(error @ FetchError::Broken { .. }) => (error, None),
                Err(error) => return Err(error),
            };
            let pause = pause(n_tries, retry_after);
            let left = deadline.saturating_duration_since(Instant::now());
            if n_tries >= self.policy.limits.max_tries || pause >= left {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn ask(&self, url: &Url, etag: Option<&str>) -> Result<Step, FetchError> {
        let host = host_of(url);
        let _turn = self.hosts.turn(&host).await;
        let mut request = request(Method::GET, url, Bytes::new())?;
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("image/*"));
        if let Some(etag) = etag {
            let named = HeaderValue::from_str(etag).map_err(|_| FetchError::Unsendable)?;
            request.headers_mut().insert(IF_NONE_MATCH, named);
        }
        let limits = &self.policy.limits;
        let patience = limits.connect + limits.idle;
        let answer = self.transport.send(&host, request, patience).await?;
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return self.redirected(url, &answer).map(Step::Elsewhere);
        }
        if status == StatusCode::OK {
            let etag = strong_etag(&answer);
            let bytes = self.transport.body(&host, answer).await?;
            return Ok(Step::Came(Fetched::New(Object { bytes, etag })));
        }
        if status == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Step::Came(Fetched::Unchanged));
        }
        let error = FetchError::Status {
            host,
            status: status.as_u16(),
        };
        let is_busy = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if !is_busy {
            return Err(error);
        }
        Ok(Step::Busy {
            error,
            retry_after: asked_pause(&answer),
        })
    }

    /// Where a redirect leads, checked as the first address was.
    fn redirected(&self, from: &Url, answer: &Response<Incoming>) -> Result<Url, FetchError> {
        let bad = || FetchError::BadRedirect {
            host: host_of(from),
        };
        let location = answer.headers().get(LOCATION).ok_or_else(bad)?;
        // Many servers send UTF-8 here as it is.
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| bad())?;
        let url = from.join(location).map_err(|_| bad())?;
        self.policy.check_url(url.as_str())
    }

    /// Sends `body` to an address, and gives what the receiver says. Redirects are not followed: they
    /// would carry what is meant for one receiver to another.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        total: Duration,
    ) -> Result<Posted, FetchError> {
        self.policy.check(url)?;
        let host = host_of(url);
        let mut request = request(Method::POST, url, body.into())?;
        request.headers_mut().extend(headers);
        let send = async {
            let _turn = self.hosts.turn(&host).await;
            self.transport.send(&host, request, total).await
        };
        let answer = timeout(total, send).await.unwrap_or_else(|_| {
            Err(FetchError::TooSlow {
                host: host.clone(),
                limit_ms: total.as_millis() as u64,
            })
        })?;
        Ok(Posted {
            status: answer.status().as_u16(),
            retry_after: asked_pause(&answer),
        })
    }
}

/// A weak one (`W/`) may be that of other bytes, too.
fn strong_etag(answer: &Response<Incoming>) -> Option<String> {
    let text = answer.headers().get(ETAG)?.to_str().ok()?;
    let is_strong = text.starts_with('"') && text.len() <= MAX_ETAG_BYTES;
    is_strong.then(|| text.to_owned())
}

fn asked_pause(answer: &Response<Incoming>) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(text, SystemTime::now())
}

/// What is behind `#` stays here.
fn request(method: Method, url: &Url, body: Bytes) -> Result<Request<Full<Bytes>>, FetchError> {
    let mut plain = url.clone();
    plain.set_fragment(None);
    let request = Request::builder().method(method).uri(plain.as_str());
    // `http` is stricter than browsers are.
    let request = request.body(Full::new(body));
    request.map_err(|_| FetchError::Unsendable)
}
