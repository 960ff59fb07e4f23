//! Objects in stores: `s3://`, `gs://`, `az://`.
//!
//! Only stores that the operator named are read from, with the credentials that the environment holds; what
//! a manifest says of itself names none. Where a store is follows from the environment alone, so unlike web
//! addresses it may be in a private network.

mod address;
mod connection;
mod reading;

pub use address::{StoreAddress, StoreAddressError, StoreKind};
pub(super) use reading::Stores;
pub use reading::{Object, ObjectState};
