//! What a request shows of its caller: a key, or the cookie of a signed-in browser.

use axum::http::{HeaderMap, HeaderValue, header};

use super::super::problem::{Problem, ProblemKind};
use super::sole;
use crate::store::SESSION_HOURS;

/// Name of the cookie over plain HTTP.
const COOKIE: &str = "touchstone";
/// Name of the cookie over HTTPS: browsers take one called so only from a page of this very host,
/// under `Secure` and for all paths.
const HOST_COOKIE: &str = "__Host-touchstone";

/// What was shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    Nothing,
    Key(String),
    Session(String),
}

impl Presented {
    /// A key counts before a cookie.
    pub fn of(headers: &HeaderMap, behind_tls: bool) -> Result<Self, Problem> {
        let bearer = sole(headers, "authorization")?.map(bearer).transpose()?;
        let plain = sole(headers, "x-api-key")?.map(str::trim);
        match (bearer, plain) {
            (Some(key), Some(other)) if key != other => Err(Problem::new(
                ProblemKind::Malformed,
                "Authorization and X-API-Key show different keys: send one",
            )),
            (Some(key), _) | (None, Some(key)) => Ok(Self::Key(key.to_owned())),
            (None, None) => Ok(match session_token(headers, behind_tls) {
                Some(token) => Self::Session(token),
                None => Self::Nothing,
            }),
        }
    }
}

fn bearer(value: &str) -> Result<&str, Problem> {
    let parts = value.trim().split_once(' ');
    let key = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let key = key.map(|(_, key)| key.trim());
    key.ok_or_else(|| {
        Problem::new(
            ProblemKind::NoKey,
            "Authorization is to read: Bearer, a space, the key",
        )
    })
}

/// The token in the session's cookie.
pub(in crate::http) fn session_token(headers: &HeaderMap, behind_tls: bool) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let name = name(behind_tls);
    let found = pairs.find(|(given, _)| *given == name);
    found.map(|(_, token)| token.to_owned())
}

/// The header that gives a browser its session.
pub(in crate::http) fn session_cookie(token: &str, behind_tls: bool) -> HeaderValue {
    set_cookie(token, SESSION_HOURS * 3600, behind_tls)
}

/// The header that takes it away.
pub(in crate::http) fn session_ended(behind_tls: bool) -> HeaderValue {
    set_cookie("", 0, behind_tls)
}

fn set_cookie(token: &str, max_age_s: i64, behind_tls: bool) -> HeaderValue {
    let secure = if behind_tls { "; Secure" } else { "" };
    let name = name(behind_tls);
    let text =
        format!("{name}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).expect("digits and words are a header value")
}

fn name(behind_tls: bool) -> &'static str {
    if behind_tls { HOST_COOKIE } else { COOKIE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &[(&'static str, &str)]) -> Result<Presented, Problem> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header"));
        }
        Presented::of(&map, false)
    }

    #[test]
    fn a_key_is_read_wherever_clients_put_it() {
        let key = |text: &str| Ok::<_, ()>(Presented::Key(text.to_owned()));
        let read = |headers: &[(&'static str, &str)]| shown(headers).map_err(|_| ());
        assert_eq!(read(&[("authorization", "Bearer k")]), key("k"));
        assert_eq!(read(&[("authorization", "bearer  k ")]), key("k"));
        assert_eq!(read(&[("x-api-key", "k")]), key("k"));
        let both = [("authorization", "Bearer k"), ("x-api-key", "k")];
        assert_eq!(read(&both), key("k"));
        assert_eq!(read(&[("cookie", "a=b")]), Ok(Presented::Nothing));
        let cookie = [("cookie", "a=b; touchstone=t; c=d")];
        assert_eq!(read(&cookie), Ok(Presented::Session("t".to_owned())));
        let key_first = [("cookie", "touchstone=t"), ("x-api-key", "k")];
        assert_eq!(read(&key_first), key("k"));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for headers in [
            &[("authorization", "Basic YTpi")][..],
            &[("authorization", "k")],
            &[("authorization", "Bearer k"), ("x-api-key", "other")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
        ] {
            assert!(shown(headers).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_other_sites() {
        let plain = session_cookie("t", false);
        let plain = plain.to_str().expect("text");
        assert!(plain.starts_with("touchstone=t; "), "{plain}");
        assert!(plain.contains("HttpOnly") && plain.contains("SameSite=Strict"));
        let secure = session_cookie("t", true);
        let secure = secure.to_str().expect("text");
        assert!(secure.starts_with("__Host-touchstone=t; ") && secure.ends_with("; Secure"));
    }
}
