//! Integration tests: one binary, a module per feature.

mod cli;
mod evidence;
mod fetch;
mod http;
mod kill;
mod layers;
mod operating;
mod parity;
mod quality;
mod scan;
mod traces;
