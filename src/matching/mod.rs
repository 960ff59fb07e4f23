//! matching

pub mod features;
pub mod geometry;
