//! matching

pub mod features;
pub mod geometry;
pub mod photometry;
