//! `touchstone serve`
