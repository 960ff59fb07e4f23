//! `touchstone scan`
