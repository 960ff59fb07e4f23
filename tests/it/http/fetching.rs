//! Photos that requests name by their address.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::service::{MOON, STAR, Service, brands_of, picture};
use crate::fetch::server::{Reply, Server, answer, ok};
use touchstone::embed::fake::FakeEmbedder;
use touchstone::fetch::{FetchLimits, FetchPolicy, Fetcher};
use touchstone::http::ServeLimits;

/// Shows pictures, a page, and what goes wrong.
fn shop() -> Server {
    Server::on("127.0.0.1", |path, _| match path {
        "/star.png" => ok(&picture(STAR)),
        "/moon.png" => ok(&picture(MOON)),
        // Only the content counts, whatever the head says of it.
        "/star.html" => Reply::Raw(answer(
            "200 OK",
            "Content-Type: text/html\r\n",
            &picture(STAR),
        )),
        "/page.png" => Reply::Raw(answer(
            "200 OK",
            "Content-Type: image/png\r\n",
            b"<html>no photo</html>",
        )),
        "/large.png" => ok(&vec![0; 200_000]),
        "/slow.png" => Reply::After(Duration::from_secs(60), Vec::new()),
        "/inside" => Reply::Raw(answer(
            "302 Found",
            "Location: http://127.0.0.2/latest/meta-data\r\n",
            b"",
        )),
        _ => Reply::Raw(answer("404 Not Found", "", b"")),
    })
}

fn fetching_with(rules: &[&str], limits: ServeLimits) -> Service {
    let policy = FetchPolicy {
        allow: rules.iter().map(|rule| rule.parse().expect(rule)).collect(),
        limits: FetchLimits {
            max_bytes: 100_000,
            ..FetchLimits::default()
        },
        ..FetchPolicy::default()
    };
    let fetcher = Arc::new(Fetcher::new(policy));
    Service::with(FakeEmbedder::default(), limits.clone()).fetching(fetcher, limits)
}

async fn fetching() -> Service {
    let service = fetching_with(&["127.0.0.1:*"], ServeLimits::default());
    service.register("Acme", "Star", &picture(STAR)).await;
    service
}

/// The last part of a problem's type.
fn problem(body: &Value) -> &str {
    let kind = body["type"].as_str().expect("a type");
    kind.rsplit(':').next().expect("a part")
}

#[tokio::test]
async fn photos_are_matched_by_their_address() {
    let (shop, service) = (shop(), fetching().await);
    for path in ["/star.png", "/star.html"] {
        let url = shop.url(path);
        let by_json = service.post_json("/v1/match", &json!({ "url": url })).await;
        assert_eq!(by_json.status, StatusCode::OK, "{}", by_json.text());
        assert_eq!(brands_of(&by_json.json()), ["Acme"]);
    }
    // Files and addresses are answered in the order in which they came.
    let (star, moon) = (shop.url("/star.png"), picture(MOON));
    let several = service
        .post_form(
            "/v1/match",
            &[
                ("url", None, shop.url("/moon.png").as_bytes()),
                ("url", None, star.as_bytes()),
                ("photo", Some("moon.png"), &moon),
            ],
        )
        .await;
    let verdicts: Vec<Value> = serde_json::from_slice(&several.body).expect("a list");
    let brands: Vec<_> = verdicts.iter().map(brands_of).collect();
    assert_eq!(brands, [vec![], vec!["Acme".to_owned()], vec![]]);
    let seller = json!({ "url": star, "seller": { "id": "9" } });
    let kept = service
        .post_json("/v1/match?keep=findings", &seller)
        .await
        .json();
    assert!(kept["findings"][0]["id"].is_number(), "{kept}");
}

#[tokio::test]
async fn what_cannot_be_fetched_fails_the_request_and_is_named() {
    let (shop, service) = (shop(), fetching().await);
    let dead = "http://127.0.0.1:1/a.png".to_owned();
    for (url, kind, part) in [
        (shop.url("/absent.png"), "url-not-fetched", "404"),
        (shop.url("/page.png"), "bad-picture", ""),
        (shop.url("/large.png"), "url-not-fetched", "100000 bytes"),
        (shop.url("/inside"), "url-not-fetched", "public internet"),
        (dead, "url-not-fetched", "cannot be reached"),
        (
            "http://169.254.169.254/latest/".to_owned(),
            "url-not-fetched",
            "public internet",
        ),
        ("http://2130706433:1/".to_owned(), "url-not-fetched", ""),
        (
            "http://[::ffff:10.0.0.1]/".to_owned(),
            "url-not-fetched",
            "public internet",
        ),
        (
            "file:///etc/passwd".to_owned(),
            "url-not-fetched",
            "file: addresses",
        ),
        (
            "http://a:b@shop.example/".to_owned(),
            "url-not-fetched",
            "user or password",
        ),
        ("star.png".to_owned(), "url-not-fetched", "no URL"),
    ] {
        let answer = service.post_json("/v1/match", &json!({ "url": url })).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        let body = answer.json();
        assert_eq!(problem(&body), kind, "{body}");
        assert_eq!(body["picture"], url);
        assert!(
            body["detail"].as_str().expect("text").contains(part),
            "{body}"
        );
    }
}

#[tokio::test]
async fn listings_are_screened_by_addresses_and_what_is_missing_asks_for_a_review() {
    let (shop, service) = (shop(), fetching().await);
    let screen = |photos: Value| {
        let listing = json!({ "listing_id": "L1", "photos": photos });
        let service = &service;
        async move {
            let answer = service.post_json("/v1/screen", &listing).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            answer.json()
        }
    };
    let star = shop.url("/star.png");
    let screened = screen(json!([star, shop.url("/moon.png")])).await;
    assert_eq!(screened["decision"], "block", "{screened}");
    assert_eq!(screened["photos"][0]["name"], star);
    let screened = screen(json!([{ "name": "front", "url": shop.url("/absent.png") }])).await;
    assert_eq!(screened["decision"], "review", "{screened}");
    assert_eq!(screened["reasons"][0]["code"], "unreadable");
    assert_eq!(screened["reasons"][0]["photo"], "front");
    assert!(
        screened["photos"][0]["error"]
            .as_str()
            .expect("text")
            .contains("404")
    );
}

#[tokio::test]
async fn a_budget_is_kept_though_a_host_is_slow() {
    let (shop, service) = (shop(), fetching().await);
    let photos = [shop.url("/slow.png"), shop.url("/star.png")];
    let listing = json!({ "listing_id": "L1", "photos": photos });
    let answer = service
        .post_json("/v1/screen?budget_ms=4000", &listing)
        .await;
    let screened = answer.json();
    // What came in time is checked, what did not is named.
    assert_eq!(screened["decision"], "block", "{screened}");
    let error = screened["photos"][0]["error"].as_str().expect("a reason");
    assert!(error.contains("2000 ms"), "{error}");
}

#[tokio::test]
async fn photos_of_a_request_are_no_larger_together_than_a_body() {
    let shop = shop();
    let limits = ServeLimits {
        max_body_bytes: 2 * picture(STAR).len() + 50,
        ..ServeLimits::default()
    };
    let service = fetching_with(&["127.0.0.1:*"], limits);
    let listing =
        |n: usize| json!({ "listing_id": "L1", "photos": vec![shop.url("/star.png"); n] });
    let answer = service.post_json("/v1/screen", &listing(2)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = service.post_json("/v1/screen", &listing(3)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn nothing_is_fetched_unless_the_operator_says_so() {
    let (shop, service) = (shop(), Service::new());
    let star = json!({ "url": shop.url("/star.png") });
    let form = [("url", None, b"http://shop.example/" as &[u8])];
    let listing = json!({ "listing_id": "L1", "photos": [shop.url("/star.png")] });
    for answer in [
        service.post_json("/v1/match", &star).await,
        service.post_form("/v1/match", &form).await,
        service.post_json("/v1/screen", &listing).await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let body = answer.json();
        assert_eq!(problem(&body), "url-not-supported");
        assert!(
            body["detail"]
                .as_str()
                .expect("text")
                .contains("--fetch-urls")
        );
    }
    // Pictures of assets come along in any case.
    let asset = json!({ "brand": "Acme", "name": "Star", "kind": "logo", "pictures": [star] });
    let answer = fetching().await.post_json("/v1/assets", &asset).await;
    assert_eq!(problem(&answer.json()), "url-not-supported");
    assert_eq!(shop.n_requests(), 0);
}
