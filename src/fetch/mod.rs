//! Photos by URL, from hosts that nobody here chose: whoever names an address must not reach with it what
//! only this machine can reach. And from stores that the operator named (`stores`).
//!
//! - Only `http:` and `https:`, without user and password, at ports 80 and 443, on the public internet,
//!   unless an [`AllowRule`] says otherwise; [`HostPattern`]s keep the fetcher to certain hosts.
//! - A name is resolved by the connector, which checks each address and opens the socket to the one that it
//!   checked: for the first request, after every redirect, for every new connection. A name that means
//!   something else the second time gains nothing.
//! - Bounded in bytes, seconds, redirects, and requests to one host at once; a busy host is asked again later.
//! - What comes is bytes. Whether they are a picture is for the decoder to say, whatever the answer's head
//!   claims.
//!
//! Nothing is fetched unless someone asks for it: commands and the server have a flag each.

mod address;
mod blocking;
mod collector;
mod connector;
mod error;
mod fetcher;
mod hosts;
mod policy;
mod rules;
mod stores;
mod transport;
mod waiting;

pub use address::AddressClass;
pub use blocking::{BlockingFetcher, Coming, Listed};
pub use collector::CollectorClient;
pub use connector::{Later, Resolve, SystemResolver};
pub use error::FetchError;
pub use fetcher::{Fetched, Fetcher, Posted};
pub use policy::{FetchLimits, FetchPolicy};
pub use rules::{AllowRule, HostPattern, RuleError};
pub use stores::{Object, ObjectState, StoreAddress, StoreAddressError, StoreKind};
pub use waiting::{jittered, retry_after};
