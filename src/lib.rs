//! touchstone finds what brands have registered (marks, products, packaging) in the photos of
//! listings: `prepare → embed → find_candidates → verify → judge`.
//!
//! Modules, in reading order; imports go down this list, never up or sideways:

pub mod cli;
pub mod config;
pub mod http;

pub mod evidence;
pub mod scanning;

pub mod engine;
pub mod report;

pub mod fetch;

pub mod embed;
pub mod ocr;

pub mod imaging;
pub mod index;
pub mod matching;
pub mod store;

pub mod eval;
pub mod runtime;

pub mod domain;
