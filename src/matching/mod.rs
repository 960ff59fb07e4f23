//! matching

pub mod words;
