//! Integration tests: one binary, a module per feature.

mod cli;
mod http;
mod layers;
mod parity;
mod quality;
