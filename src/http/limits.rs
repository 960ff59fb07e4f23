//! How much one server takes on.

use std::time::Duration;

/// What a server accepts before it says no. Photos worked on at once are the engine's number of
/// threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeLimits {
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Time for one request, from its head to its answer: receiving the body, waiting and working.
    pub request_timeout: Duration,
    /// Requests in progress at once, waiting ones included; more are turned away with 503.
    pub max_requests: usize,
    /// Connections open at once, idle ones included; more wait to be accepted.
    pub max_connections: usize,
    /// Time for a request's head to arrive, and for which a connection may lie idle.
    pub header_timeout: Duration,
    /// Time that a client may leave an answer unread.
    pub write_timeout: Duration,
    /// Days for which scans and their results are kept after they ended, at least 1.
    pub keep_scans_days: u32,
    /// Time for requests in progress to end when the server stops.
    pub drain_timeout: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            request_timeout: Duration::from_secs(30),
            max_requests: 64,
            // Half of the 1,024 files that a process may commonly have open.
            max_connections: 512,
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            keep_scans_days: 30,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
