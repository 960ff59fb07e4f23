//! Requests that browsers send without their users' knowing.
//!
//! A server that listens on loopback is still in reach of every web page that its user opens: a page
//! can send requests to `127.0.0.1`, and after rebinding its own name to that address it could read
//! the answers too, where nobody is asked for a key. Where keys are asked for, a page under a foreign
//! name has neither key nor cookie.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::HttpState;
use super::problem::{Problem, ProblemKind};

/// Refuses requests under a foreign host name (where no key is needed), and requests that change
/// something or cost something when another site's page sends them.
pub(super) async fn guard(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = check_host(&request, !state.entrance.is_open()).and_then(|host| {
        if is_safe(request.method()) {
            Ok(())
        } else {
            check_origin(request.headers(), &host)
        }
    });
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The host and port that the request is meant for.
fn check_host(request: &Request, any_host: bool) -> Result<String, Problem> {
    // An absolute address in the request line takes the place of the header.
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => sole_host(request.headers())?,
    };
    if any_host || is_local(host) {
        return Ok(host.to_owned());
    }
    Err(Problem::new(
        ProblemKind::UnknownHost,
        "this server asks for no keys, and so answers only as localhost, 127.0.0.1 or [::1]",
    ))
}

fn sole_host(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| bad_host()),
        _ => Err(bad_host()),
    }
}

fn bad_host() -> Problem {
    Problem::new(ProblemKind::Malformed, "exactly one Host header is needed")
}

/// Whether `host`, with or without a port, names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let own = match headers.get(header::ORIGIN) {
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, origin_host)| origin_host.eq_ignore_ascii_case(host)),
        // Browsers that leave the origin out still say this.
        None => headers
            .get("sec-fetch-site")
            .is_none_or(|site| site == "same-origin" || site == "none"),
    };
    if own {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::ForeignOrigin,
        "pages of other sites may not use this server",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_told_from_others() {
        for host in [
            "localhost",
            "LOCALHOST:8470",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:8470",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "192.168.0.1",
            "[::2]",
            "[::1",
            "0.0.0.0",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn only_the_own_origin_may_write() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            headers
        };
        let host = "localhost:8470";
        for (name, value, is_allowed) in [
            ("origin", "http://localhost:8470", true),
            ("origin", "http://LocalHost:8470", true),
            ("origin", "http://localhost:3000", false),
            ("origin", "https://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("accept", "*/*", true),
        ] {
            let checked = check_origin(&headers(name, value), host);
            assert_eq!(checked.is_ok(), is_allowed, "{name}: {value}");
        }
    }
}
