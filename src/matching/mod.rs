//! Pure comparison of two pictures and judgement of what was measured: no IO, no database, no network.

pub mod judge;
pub mod margin;
pub mod policy;
