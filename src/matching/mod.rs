//! Pure comparison of two pictures and judgement of what was measured: no IO, no database, no network.

pub mod cells;
pub mod features;
pub mod geometry;
pub mod hash;
pub mod judge;
pub mod margin;
pub mod photometry;
pub mod policy;
pub mod similarities;
pub mod teaching;
pub mod words;
