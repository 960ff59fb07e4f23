//! Every way to be refused, always in the same form.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use super::service::{
    Answer, Gate, MOON, Mood, MoodyEmbedder, STAR, Service, base64, form_to, json_to, picture, to,
};
use touchstone::domain::{PictureId, Role};
use touchstone::embed::fake::FakeEmbedder;
use touchstone::http::{EntranceSettings, ServeLimits};

fn check_problem(answer: &Answer, status: u16, case: &str) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{case}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{case}");
    assert_eq!(
        problem["request_id"],
        answer.header("x-request-id"),
        "{case}"
    );
    for field in ["type", "title", "detail"] {
        let text = problem[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{case}: {field} in {problem}");
    }
    problem
}

fn with_type(kind: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = to("POST", path, body.into());
    let kind = kind.parse().expect("a header");
    request.headers_mut().insert("content-type", kind);
    request
}

fn with_header(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    let value = value.parse().expect("a header");
    request.headers_mut().insert(name, value);
    request
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_with_the_status_that_fits() {
    let service = Service::new();
    let id = service.register("Acme", "Star", &picture(STAR)).await;
    let get = |path: &str| to("GET", path, Body::empty());
    let cases = [
        ("no such address", 404, get("/v2/match")),
        ("no such asset", 404, get("/v1/assets/99")),
        ("no asset's id", 404, get("/v1/assets/abc")),
        (
            "an id too large",
            404,
            get("/v1/assets/99999999999999999999"),
        ),
        ("a negative id", 404, get("/v1/assets/-1")),
        ("pictures of no asset", 404, get("/v1/assets/99/images")),
        (
            "no such picture",
            404,
            get(&format!("/v1/assets/{id}/images/99")),
        ),
        ("not UTF-8", 400, get("/v1/assets/%ff")),
        ("unknown filter", 400, get("/v1/assets?brnad=Acme")),
        ("unknown kind", 400, get("/v1/assets?kind=banner")),
        ("limit of none", 400, get("/v1/assets?limit=0")),
        ("limit too large", 400, get("/v1/assets?limit=1001")),
        ("limit that is none", 400, get("/v1/assets?limit=many")),
        ("wrong method", 405, get("/v1/match")),
        (
            "wrong method on a picture",
            405,
            to("PUT", "/v1/assets/1/images/1", Body::empty()),
        ),
        (
            "no content type",
            415,
            to("POST", "/v1/match", Body::from("x")),
        ),
        (
            "curl's default type",
            415,
            with_type("application/x-www-form-urlencoded", "/v1/match", "x"),
        ),
        (
            "a bare picture as asset",
            415,
            with_type("image/png", "/v1/assets", picture(STAR)),
        ),
        ("a picture as change", 415, {
            let mut request = with_type("image/png", "/v1/assets/1", "x");
            *request.method_mut() = "PATCH".parse().expect("a method");
            request
        }),
        (
            "compressed",
            415,
            with_header(
                with_type("image/png", "/v1/match", "x"),
                "content-encoding",
                "gzip",
            ),
        ),
        ("no bytes", 422, with_type("image/png", "/v1/match", "")),
        (
            "no picture",
            422,
            with_type("image/png", "/v1/match", "<html></html>"),
        ),
        (
            "cut off",
            422,
            with_type("image/png", "/v1/match", picture(STAR)[..80].to_vec()),
        ),
        (
            "no JSON",
            400,
            with_type("application/json", "/v1/match", "{\"base64\": "),
        ),
        (
            "no base64",
            422,
            json_to("POST", "/v1/match", &json!({ "base64": "!" })),
        ),
        ("no photo", 422, json_to("POST", "/v1/match", &json!({}))),
        (
            "a bad seller",
            422,
            json_to(
                "POST",
                "/v1/match",
                &json!({ "base64": base64(&picture(STAR)), "seller": 7 }),
            ),
        ),
        (
            "unknown field",
            422,
            json_to("POST", "/v1/match", &json!({ "photo": "" })),
        ),
        (
            "a URL",
            400,
            json_to(
                "POST",
                "/v1/match",
                &json!({ "url": "http://169.254.169.254/" }),
            ),
        ),
        (
            "unknown field in a form",
            422,
            form_to("/v1/match", &[("file", Some("a"), b"x")]),
        ),
        (
            "a form without photo",
            422,
            form_to("/v1/match", &[("seller_id", None, b"x")]),
        ),
        (
            "a form with a field twice",
            422,
            form_to(
                "/v1/match",
                &[("seller_id", None, b"x"), ("seller_id", None, b"y")],
            ),
        ),
        (
            "a form without asset",
            422,
            form_to("/v1/assets", &[("picture", Some("a"), b"x")]),
        ),
        (
            "a form that is none",
            400,
            with_type("multipart/form-data; boundary=x", "/v1/match", "hello"),
        ),
        (
            "a form without boundary",
            400,
            with_type("multipart/form-data", "/v1/match", "hello"),
        ),
        (
            "a form that ends early",
            400,
            with_type(
                "multipart/form-data; boundary=x",
                "/v1/match",
                "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\n\r\nabc",
            ),
        ),
        (
            "an empty change",
            422,
            json_to("PATCH", "/v1/assets/1", &json!({})),
        ),
        (
            "an unknown change",
            422,
            json_to(
                "PATCH",
                "/v1/assets/1",
                &json!({ "enabled": true, "name": "x" }),
            ),
        ),
        (
            "a change to no asset",
            404,
            json_to("PATCH", "/v1/assets/99", &json!({ "enabled": true })),
        ),
        (
            "a picture for no asset",
            404,
            with_type("image/png", "/v1/assets/99/images", picture(MOON)),
        ),
    ];
    for (case, status, request) in cases {
        check_problem(&service.call(request).await, status, case);
    }
    // None of it left a trace.
    let page = service.get("/v1/assets").await.json();
    assert_eq!(page["assets"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["assets"][0]["n_pictures"], 1);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let service = Service::new();
    let answer = service.get("/v1/match").await;
    check_problem(&answer, 405, "GET");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn other_hosts_and_other_sites_are_refused() {
    let service = Service::new();
    let get = || to("GET", "/v1/brands", Body::empty());
    let post = || with_type("image/png", "/v1/match", picture(STAR));
    let host = "evil.example:8470";
    check_problem(
        &service.call(with_header(get(), "host", host)).await,
        421,
        "host",
    );
    let absolute = to("GET", "http://evil.example/v1/brands", Body::empty());
    check_problem(&service.call(absolute).await, 421, "absolute address");
    let mut hostless = get();
    hostless.headers_mut().remove("host");
    check_problem(&service.call(hostless).await, 400, "no host");
    let mut two_hosts = get();
    let second = "evil.example".parse().expect("a header");
    two_hosts.headers_mut().append("host", second);
    check_problem(&service.call(two_hosts).await, 400, "two hosts");

    for origin in ["https://evil.example", "null", "http://localhost:1"] {
        let answer = service.call(with_header(post(), "origin", origin)).await;
        check_problem(&answer, 403, origin);
    }
    let crossing = with_header(post(), "sec-fetch-site", "cross-site");
    check_problem(&service.call(crossing).await, 403, "cross-site");
    let own = with_header(post(), "origin", "http://localhost:8470");
    assert_eq!(service.call(own).await.status, StatusCode::OK);
    let reading = with_header(get(), "origin", "https://evil.example");
    let reading = service.call(reading).await;
    assert_eq!(reading.header("access-control-allow-origin"), "");
    assert_eq!(
        reading.header("cross-origin-resource-policy"),
        "same-origin"
    );
}

#[tokio::test]
async fn with_a_key_any_host_is_answered_but_other_sites_are_not() {
    let service = Service::guarded(EntranceSettings::default());
    let key = service.key(Role::Screener);
    let remote = |origin: &str| {
        let request = with_type("image/png", "/v1/match", picture(STAR));
        let request = with_header(request, "x-api-key", &key);
        with_header(
            with_header(request, "host", "match.example"),
            "origin",
            origin,
        )
    };
    let own = service.call(remote("https://match.example")).await;
    assert_eq!(own.status, StatusCode::OK);
    let other = service.call(remote("https://evil.example")).await;
    check_problem(&other, 403, "other site");
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused() {
    let limits = ServeLimits {
        max_body_bytes: 1000,
        ..ServeLimits::default()
    };
    let service = Service::with(FakeEmbedder::default(), limits);
    let large = vec![0; 1001];
    let announced = with_header(
        with_type("image/png", "/v1/match", "x"),
        "content-length",
        "5000000000",
    );
    for (case, request) in [
        ("raw", with_type("image/png", "/v1/match", large.clone())),
        (
            "JSON",
            with_type("application/json", "/v1/match", large.clone()),
        ),
        (
            "form",
            form_to("/v1/match", &[("photo", Some("a.png"), &large)]),
        ),
        (
            "text of a form",
            form_to("/v1/assets", &[("asset", None, &large)]),
        ),
        ("announced", announced),
    ] {
        check_problem(&service.call(request).await, 413, case);
    }
}

#[tokio::test]
async fn too_many_pictures_are_refused() {
    let service = Service::new();
    let parts = vec![("photo", Some("a.png"), &b"x"[..]); 65];
    let answer = service.post_form("/v1/match", &parts).await;
    check_problem(&answer, 422, "65 photos");
}

#[tokio::test]
async fn names_of_files_are_cut_before_they_are_kept_or_repeated() {
    let service = Service::new();
    let name = "n".repeat(100_000);
    let parts = [("photo", Some(name.as_str()), &b"no picture"[..])];
    let answer = service.post_form("/v1/match", &parts).await;
    let problem = check_problem(&answer, 422, "no picture");
    assert_eq!(problem["picture"], name[..300]);
}

#[tokio::test]
async fn failures_of_this_side_are_not_told() {
    for mood in [Mood::Panics, Mood::Fails] {
        let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
        let answer = service.post_picture("/v1/match", picture(STAR)).await;
        let problem = check_problem(&answer, 500, "broken").to_string();
        for secret in ["secret-model", "fell over", "panic"] {
            assert!(!problem.contains(secret), "{problem}");
        }
        // It goes on living.
        assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
        let again = service.post_picture("/v1/match", picture(STAR)).await;
        check_problem(&again, 500, "broken again");
    }
}

#[tokio::test]
async fn a_photo_that_takes_too_long_is_given_up() {
    let gate = Arc::new(Gate::default());
    let limits = ServeLimits {
        request_timeout: Duration::from_millis(50),
        ..ServeLimits::default()
    };
    let mood = Mood::Gated(Arc::clone(&gate));
    let service = Service::with(MoodyEmbedder::new(mood), limits);
    let answer = service.post_picture("/v1/match", picture(STAR)).await;
    check_problem(&answer, 504, "gated");
    // The lane is taken by the first; the second is given up while it waits.
    let answer = service.post_picture("/v1/match", picture(STAR)).await;
    check_problem(&answer, 504, "queued");
    gate.open();
}

#[tokio::test]
async fn a_registry_that_cannot_be_read_is_not_ready() {
    let service = Service::new();
    assert_eq!(service.get("/readyz").await.status, StatusCode::OK);
    let path = service.engine.store().path().to_owned();
    let damage = rusqlite::Connection::open(&path).expect("a database");
    damage
        .execute_batch("ALTER TABLE assets RENAME TO elsewhere")
        .expect("a rename");
    let answer = service.get("/v1/assets").await;
    let problem = check_problem(&answer, 500, "assets").to_string();
    assert!(
        !problem.contains("elsewhere") && !problem.contains("SELECT"),
        "{problem}"
    );
    let unready = service.get("/readyz").await;
    check_problem(&unready, 503, "readiness");
    assert_eq!(service.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_registered_picture_that_cannot_be_read_is_not_taken_for_a_removed_one() {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    let engine = &service.engine;
    let gone = engine.reference_detail(PictureId(99));
    assert!(gone.expect("readable").is_none());
    let damage = rusqlite::Connection::open(engine.store().path()).expect("a database");
    damage
        .execute_batch("ALTER TABLE originals RENAME TO elsewhere")
        .expect("a rename");
    assert!(engine.reference_detail(PictureId(1)).is_err());
    assert!(engine.reference_cells(PictureId(1), "").is_err());
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_safe_headers() {
    let service = Service::new();
    for path in ["/healthz", "/v1/brands", "/nothing"] {
        let request = with_header(to("GET", path, Body::empty()), "x-request-id", "abc-1");
        let answer = service.call(request).await;
        for (name, value) in [
            ("x-request-id", "abc-1"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}");
    }
    let ids = [service.get("/healthz").await, service.get("/healthz").await]
        .map(|answer| answer.header("x-request-id").to_owned());
    assert!(!ids[0].is_empty() && ids[0] != ids[1]);
}
