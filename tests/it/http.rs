//! The service: its router called as a function, and the real server on a socket.

mod access;
mod assets;
mod cases;
mod console;
mod errors;
mod fetching;
mod matching;
mod openapi;
mod scans;
mod server;
mod service;
mod teaching;
mod webhooks;
