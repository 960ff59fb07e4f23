//! Browsers: signing in with a key or the first start's link, staying in, going out.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::Timestamp;

use super::super::service::{Answer, Service, to};
use super::{ask, key_of};
use touchstone::domain::{AuditAction, Role};
use touchstone::http::EntranceSettings;
use touchstone::store::AuditPage;

fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = serde_urlencoded(fields);
    let mut request = to("POST", path, Body::from(body));
    for (name, value) in [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "text/html"),
        ("origin", "http://localhost:8470"),
    ] {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(name, value);
    }
    request
}

/// Letters, digits, `_` and `/` are all that is sent here.
fn serde_urlencoded(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

fn with_cookie(mut request: Request<Body>, cookie: &str) -> Request<Body> {
    let value = cookie.parse().expect("a header");
    request.headers_mut().insert("cookie", value);
    request
}

fn page(path: &str, cookie: &str) -> Request<Body> {
    let mut request = to("GET", path, Body::empty());
    let html = "text/html".parse().expect("a header");
    request.headers_mut().insert("accept", html);
    with_cookie(request, cookie)
}

/// The cookie as the browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    cookie.split(';').next().expect("a first part").to_owned()
}

async fn signed_in(service: &Service, key: &str) -> String {
    let answer = service.call(form("/sign-in", &[("key", key)])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    cookie_of(&answer)
}

fn actions(service: &Service) -> Vec<(AuditAction, String)> {
    let page = AuditPage {
        limit: 100,
        ..AuditPage::default()
    };
    let entries = service.engine.store().audit_entries(&page).expect("a log");
    let told = entries.into_iter().rev();
    told.map(|entry| (entry.action, entry.who)).collect()
}

#[tokio::test]
async fn a_browser_is_led_to_sign_in_and_back_and_out() {
    let service = Service::guarded(EntranceSettings::default());
    let key = service.key(Role::Reviewer);
    let answer = service.call(page("/review?status=all", "")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(
        answer.header("location"),
        "/sign-in?next=%2Freview%3Fstatus%3Dall"
    );
    let answer = service.call(page(answer.header("location"), "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().contains("value=\"/review?status=all\""));

    let fields = [("key", key.as_str()), ("next", "/review")];
    let answer = service.call(form("/sign-in", &fields)).await;
    assert_eq!(answer.header("location"), "/review");
    let set = answer.header("set-cookie");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    assert!(!set.contains("Secure"), "plain HTTP is served");
    let cookie = cookie_of(&answer);
    let review = service.call(page("/review", &cookie)).await;
    assert_eq!(review.status, StatusCode::OK);
    assert!(review.text().contains("Sign out"));
    assert!(
        !review.text().contains("href=\"/keys\""),
        "not a reviewer's page"
    );
    let refused = service.call(page("/keys", &cookie)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text().contains("<html"), "a page for people");

    let answer = service
        .call(with_cookie(form("/sign-out", &[]), &cookie))
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    let again = service.call(page("/review", &cookie)).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    let who = || "reviewer".to_owned();
    let expected = [
        (AuditAction::SignedIn, who()),
        (AuditAction::SignedOut, who()),
    ];
    assert_eq!(actions(&service), expected);
}

#[tokio::test]
async fn a_wrong_key_signs_nobody_in_and_is_written_down() {
    let service = Service::guarded(EntranceSettings::default());
    let key = service.key(Role::Operator);
    let forged = format!("{}{}", &key[..16], "0".repeat(64));
    for (wrong, who) in [(forged.as_str(), "operator"), ("ts_nothing", "unknown")] {
        let answer = service.call(form("/sign-in", &[("key", wrong)])).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.text().contains("<html") && answer.text().contains("Not signed in"));
        assert_eq!(answer.header("set-cookie"), "");
        let last = actions(&service).pop().expect("an entry");
        assert_eq!(last, (AuditAction::SignInFailed, who.to_owned()));
    }
    for _ in 0..50 {
        service
            .call(form("/sign-in", &[("key", "ts_nothing")]))
            .await;
    }
    assert!(
        actions(&service).len() <= 32,
        "nobody without a key fills the log"
    );
}

#[tokio::test]
async fn who_shows_no_key_is_told_little_back() {
    let service = Service::guarded(EntranceSettings::default());
    let wish = |length: usize| format!("/{}", "x".repeat(length - 1));
    let (kept, dropped) = (wish(2000), wish(2001));
    let asked = format!("/sign-in?next={kept}");
    assert!(service.call(page(&asked, "")).await.text().contains(&kept));
    for name in ["next", "once"] {
        let asked = format!("/sign-in?{name}={dropped}");
        let answer = service.call(page(&asked, "")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.text().contains("xxxx"), "{}", answer.text());
    }
    let fields = [("key", "ts_nothing"), ("next", dropped.as_str())];
    let answer = service.call(form("/sign-in", &fields)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!answer.text().contains("xxxx"), "{}", answer.text());
    for path in ["/sign-in", "/sign-out"] {
        let answer = service.call(form(path, &[("next", &wish(9000))])).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test]
async fn a_signed_in_browser_changes_nothing_for_another_site() {
    let service = Service::guarded(EntranceSettings::default());
    let key = service.key(Role::Operator);
    let cookie = signed_in(&service, &key).await;
    let make = |origin: Option<&str>, site: Option<&str>| {
        let fields = [("role", "reviewer"), ("label", "x"), ("days", "")];
        let mut request = with_cookie(form("/keys", &fields), &cookie);
        request.headers_mut().remove("origin");
        for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
            if let Some(value) = value {
                let value = value.parse().expect("a header");
                request.headers_mut().insert(name, value);
            }
        }
        request
    };
    for (origin, site) in [
        (None, None),
        (Some("https://evil.example"), None),
        (Some("null"), None),
        (None, Some("cross-site")),
        (None, Some("same-site")),
    ] {
        let answer = service.call(make(origin, site)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{origin:?} {site:?}");
    }
    let n_keys = || service.keys.keys(None).expect("keys").len();
    assert_eq!(n_keys(), 1);
    let answer = service.call(make(None, Some("same-origin"))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(n_keys(), 2);
}

#[tokio::test]
async fn the_first_starts_link_is_followed_by_a_button_once() {
    let service = Service::guarded(EntranceSettings::default());
    let token = service.keys.create_link(Timestamp::now()).expect("a link");
    for _ in 0..2 {
        // Looking at the link uses nothing up.
        let answer = service
            .call(page(&format!("/sign-in?once={token}"), ""))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.text().contains(&token));
    }
    let answer = service.call(form("/sign-in", &[("once", &token)])).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    assert_eq!(answer.header("location"), "/keys");
    let cookie = cookie_of(&answer);
    let keys = service.call(page("/keys", &cookie)).await;
    assert_eq!(keys.status, StatusCode::OK);
    let again = service.call(form("/sign-in", &[("once", &token)])).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);

    let fields = [("role", "operator"), ("label", "root"), ("days", "365")];
    let made = service
        .call(with_cookie(form("/keys", &fields), &cookie))
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let text = made.text();
    let place = text.find("<code>ts_").expect("the key is shown");
    let key = &text[place + 6..place + 6 + 80];
    assert_eq!(
        ask(&service, key, "GET", "/v1/audit").await.status,
        StatusCode::OK
    );
    let later = service.call(page("/keys", &cookie)).await;
    assert!(!later.text().contains(key), "shown once");
    assert_eq!(later.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_opens_its_tenant_alone() {
    let service = Service::guarded(EntranceSettings::default());
    let other = key_of(&service, "other", Role::Operator, &[]);
    let cookie = signed_in(&service, &other).await;
    let keys = service.call(page("/keys", &cookie)).await.text();
    assert!(keys.contains("Keys of tenant other"), "{keys}");
    assert_eq!(
        actions(&service),
        [],
        "the sign-in is in the other tenant's log"
    );
    let audit = service.call(page("/audit", &cookie)).await.text();
    assert!(audit.contains("Signed in"), "{audit}");
    let id = service.keys.keys(None).expect("keys")[0].id.clone();
    let path = format!("/keys/{id}/revoke");
    let answer = service.call(with_cookie(form(&path, &[]), &cookie)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = service.call(page("/keys", &cookie)).await;
    assert_eq!(answer.header("location"), "/sign-in?next=%2Fkeys");
}

#[tokio::test]
async fn behind_https_the_cookie_is_bound_to_it() {
    let service = Service::guarded(EntranceSettings {
        behind_tls: true,
        ..EntranceSettings::default()
    });
    let key = service.key(Role::Operator);
    let answer = service.call(form("/sign-in", &[("key", &key)])).await;
    let set = answer.header("set-cookie");
    assert!(
        set.starts_with("__Host-touchstone=") && set.ends_with("; Secure"),
        "{set}"
    );
    let cookie = cookie_of(&answer);
    assert_eq!(
        service.call(page("/", &cookie)).await.status,
        StatusCode::OK
    );
    let plain = cookie.replace("__Host-", "");
    assert_eq!(
        service.call(page("/", &plain)).await.status,
        StatusCode::SEE_OTHER
    );
}
