//! Why an address could not be fetched.

use std::error::Error;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::stores::StoreAddressError;

/// Any error, as libraries give them; shared, since a connection's error is told to all who waited for it.
pub(super) type Cause = Arc<dyn Error + Send + Sync>;

/// Why nothing came from an address. Messages are fit for whoever named it: they tell a host's name, but
/// not where it was found.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The text is no URL.
    #[error("this is no URL: {0}")]
    NotAUrl(#[source] url::ParseError),
    /// The URL is longer than anything sensible.
    #[error("a URL of {n_bytes} bytes, at most {limit} are taken")]
    LongUrl {
        /// Its length.
        n_bytes: usize,
        /// Most bytes.
        limit: usize,
    },
    /// The URL holds what no request can.
    #[error("a URL with characters that cannot be sent")]
    Unsendable,
    /// Something other than a web address, such as `file:`.
    #[error("{found}: addresses are not fetched, only http: and https: ones")]
    Scheme {
        /// The scheme.
        found: String,
    },
    /// A web address, where only stores are read from.
    #[error("http: and https: addresses are fetched only with --fetch-urls")]
    StoresOnly,
    /// The text is no address of an object in a store.
    #[error(transparent)]
    NoStoreAddress(#[from] StoreAddressError),
    /// The operator named other stores, or none.
    #[error("{address} is not among the stores that are read from, which --fetch-store names")]
    StoreNotNamed {
        /// The object.
        address: String,
    },
    /// What the environment says of the store does not hold together.
    #[error("{store} cannot be opened with the settings in the environment")]
    StoreSettings {
        /// The store.
        store: String,
        /// What is wrong with them.
        #[source]
        cause: Cause,
    },
    /// No such object, or no such store.
    #[error("{address} is not there")]
    NotThere {
        /// The object.
        address: String,
    },
    /// The credentials in the environment do not open it.
    #[error("{store} does not let itself be read with the credentials in the environment")]
    StoreRefuses {
        /// The store.
        store: String,
    },
    /// The store is not reached, or gives no answer that can be used.
    #[error("{store} cannot be read; the log says why")]
    Store {
        /// The store.
        store: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// What came could not be written to this machine's disk.
    #[error("{address} cannot be kept on this machine's disk")]
    NotKept {
        /// The object.
        address: String,
        /// What the system said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// User or password stand in the URL.
    #[error("a URL with a user or password in it is not fetched: they would end in logs")]
    Credentials,
    /// The operator keeps the fetcher to certain hosts.
    #[error("{host} is not among the hosts that are fetched from")]
    HostNotListed {
        /// The host.
        host: String,
    },
    /// The host has no address on the internet.
    #[error("{host} is not on the public internet, or not at a port that is fetched from")]
    NotPublic {
        /// The host.
        host: String,
    },
    /// The host has no address at all.
    #[error("no address is known for {host}")]
    Unresolved {
        /// The host.
        host: String,
        /// What the resolver said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// No connection.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// The host.
        host: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// The host cannot show that it is what it is called.
    #[error("{host} shows no certificate that holds")]
    Untrusted {
        /// The host.
        host: String,
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// The answer is cut off, or no HTTP.
    #[error("{host} answers in a way that cannot be read, or not to the end")]
    Broken {
        /// The host.
        host: String,
        /// What went wrong.
        #[source]
        cause: Cause,
    },
    /// The host says no.
    #[error("{host} answers {status}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status, 100 to 999.
        status: u16,
    },
    /// From one address to the next, without end.
    #[error("more than {limit} redirects")]
    TooManyRedirects {
        /// Most redirects.
        limit: usize,
    },
    /// A redirect that leads nowhere.
    #[error("{host} redirects without saying where to")]
    BadRedirect {
        /// The host.
        host: String,
    },
    /// The body is compressed, though nobody asked for that.
    #[error("{host} sends the body with content encoding {coding:?}")]
    Encoded {
        /// The host.
        host: String,
        /// The coding.
        coding: String,
    },
    /// More bytes than are taken.
    #[error("{host} sends more than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// Most bytes.
        limit: usize,
    },
    /// Nothing came for too long.
    #[error("{host} sent nothing for {idle_s} s")]
    Stalled {
        /// The host.
        host: String,
        /// Seconds.
        idle_s: u64,
    },
    /// It took too long in all, redirects and waiting included.
    #[error("{host} took more than {limit_ms} ms")]
    TooSlow {
        /// The host that was asked first.
        host: String,
        /// Milliseconds.
        limit_ms: u64,
    },
}
