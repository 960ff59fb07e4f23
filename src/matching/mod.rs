//! matching

pub mod hash;
