//! Screening, findings, decisions, listings, exports, look-back.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::service::{
    Answer, Gate, MOON, Mood, MoodyEmbedder, STAR, Service, asset, base64, json_to, picture, png,
    to,
};
use touchstone::domain::{Keep, Keeping};
use touchstone::engine::{ScreenPhoto, ScreenRequest};
use touchstone::http::ServeLimits;
use touchstone::store::PendingPhoto;

fn listing(id: &str, photos: &[&[u8]]) -> Value {
    let photos: Vec<Value> = photos
        .iter()
        .map(|bytes| json!({ "base64": base64(bytes) }))
        .collect();
    json!({
        "listing_id": id, "photos": photos, "title": "Shoe", "colour": "red",
        "seller": { "id": 12, "name": "Joe", "rating": 4.5 },
    })
}

/// A star whose one corner pixel differs: another file, nearly the same picture.
fn nearly_star(shade: u8) -> Vec<u8> {
    let star = image::load_from_memory(&picture(STAR)).expect("a PNG");
    let mut pixels: RgbImage = star.into_rgb8();
    pixels.put_pixel(0, 0, Rgb([shade, 0, 0]));
    png(&pixels)
}

async fn with_star() -> Service {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    service
}

async fn screen(service: &Service, query: &str, listing: &Value) -> Value {
    let answer = service
        .post_json(&format!("/v1/screen{query}"), listing)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

async fn findings(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("/v1/findings{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["findings"]
        .as_array()
        .expect("a list")
        .clone()
}

async fn decide(service: &Service, id: &Value, body: Value) -> Answer {
    let address = format!("/v1/findings/{id}/decision");
    service.post_json(&address, &body).await
}

#[tokio::test]
async fn a_listing_is_blocked_with_reasons_and_its_unknown_fields_come_back() {
    let service = with_star().await;
    let (star, moon) = (picture(STAR), picture(MOON));
    let answer = screen(&service, "", &listing("L1", &[&moon, &star])).await;
    assert_eq!(answer["decision"], "block", "{answer}");
    let reason = &answer["reasons"][0];
    assert_eq!(
        (&reason["code"], &reason["photo"]),
        (&json!("finding"), &json!("picture 2"))
    );
    assert!(
        reason["detail"]
            .as_str()
            .is_some_and(|d| d.contains("Acme"))
    );
    assert_eq!(answer["listing"]["colour"], "red");
    assert_eq!(answer["listing"]["seller"]["rating"], 4.5);
    assert_eq!(answer["photos"][0]["verdict"], "Clear");
    let finding = &answer["photos"][1]["findings"][0];
    assert_eq!(
        (&finding["status"], &finding["kind"]),
        (&json!("open"), &json!("LogoPresent"))
    );
    assert_eq!(
        (&answer["unchecked"], &answer["continues_in_background"]),
        (&json!([]), &json!(false))
    );

    let kept = service
        .get(&format!("/v1/findings/{}", finding["id"]))
        .await
        .json();
    assert_eq!(kept["listing"]["listing_id"], "L1");
    assert_eq!(kept["listing"]["seller"]["id"], "12");
    assert_eq!(kept["probability"], finding["probability"]);
    assert_eq!(
        (&kept["source"], &kept["model"]),
        (&json!("screen"), &json!("fake@1"))
    );
    assert_eq!(kept["photo"]["is_kept"], false);
    // The listing itself was not asked to be kept.
    let answer = service.get("/v1/listings/L1").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_listing_in_a_form_is_screened_alike_and_an_unreadable_photo_asks_for_review() {
    let service = with_star().await;
    let moon = picture(MOON);
    let fields = br#"{"listing_id":"L1","title":"Lamp"}"#;
    let parts = [
        ("listing", None, &fields[..]),
        ("photo", Some("moon.png"), &moon),
        ("photo", Some("cut.png"), &moon[..moon.len() / 2]),
    ];
    let answer = service.post_form("/v1/screen", &parts[..2]).await.json();
    assert_eq!(answer["decision"], "allow", "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "nothing_found");
    let answer = service.post_form("/v1/screen", &parts).await.json();
    assert_eq!(answer["decision"], "review", "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "unreadable");
    assert_eq!(answer["reasons"][0]["photo"], "cut.png");
    assert_eq!(answer["photos"][0]["verdict"], "Clear");
}

#[tokio::test]
async fn listings_that_cannot_be_screened_are_refused() {
    let service = Service::new();
    let star = picture(STAR);
    let url = json!({ "listing_id": "L", "photos": ["https://shop.example/a.jpg"] });
    let nameless = json!({ "photos": [{ "base64": base64(&star) }] });
    let long = json!({ "listing_id": "L", "photos": [{ "base64": base64(&star) }], "title": "x".repeat(70_000) });
    let cases = [
        (422, "", json!({ "listing_id": "L" })),
        (422, "", json!({ "listing_id": ["L"], "photos": [] })),
        (422, "", json!({ "photos": [{ "base64": "!" }] })),
        (422, "", json!([])),
        (422, "", long),
        (400, "", url),
        (422, "?keep=listing", nameless.clone()),
        (400, "?keep=everything", nameless.clone()),
        (400, "?keep_days=0", nameless.clone()),
        (400, "?budget_ms=-1", nameless.clone()),
        (400, "?budget=1", nameless.clone()),
        (200, "", nameless),
    ];
    for (status, query, body) in cases {
        let answer = service
            .post_json(&format!("/v1/screen{query}"), &body)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{query} {}", answer.text());
    }
    let answer = service.post_picture("/v1/screen", star).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn more_values_than_a_listing_holds_are_refused_before_they_are_made() {
    let service = Service::new();
    let (star, zeros) = (base64(&picture(STAR)), vec![0; 80_000]);
    let fields = json!({ "listing_id": "L", "sizes": zeros }).to_string();
    let form = [("listing", None, fields.as_bytes())];
    for answer in [
        service.post_form("/v1/screen", &form).await,
        service
            .post_json("/v1/screen", &json!({ "photos": zeros }))
            .await,
        service
            .post_json(
                "/v1/match",
                &json!({ "base64": star, "seller": { "ids": zeros } }),
            )
            .await,
    ] {
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains("values in one object"), "{detail}");
    }
}

#[tokio::test]
async fn an_authorised_seller_is_allowed_and_nobody_needs_to_look() {
    let service = Service::new();
    let mut body = asset("Acme", "Star", &[&picture(STAR)]);
    body["authorised_sellers"] = json!(["joe"]);
    service.post_json("/v1/assets", &body).await;
    let answer = screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
    assert_eq!(answer["decision"], "allow", "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "authorised_seller");
    assert!(findings(&service, "?status=open").await.is_empty());
    assert_eq!(findings(&service, "?status=authorised").await.len(), 1);
}

#[tokio::test]
async fn what_is_kept_can_be_shown_and_forgotten() {
    let service = with_star().await;
    let star = picture(STAR);
    screen(
        &service,
        "?keep=photos&keep_days=30",
        &listing("L/1", &[&star]),
    )
    .await;
    let kept = service.get("/v1/listings/L%2F1").await.json();
    assert_eq!(
        (&kept["listing_id"], &kept["n_findings"]),
        (&json!("L/1"), &json!(1))
    );
    assert_eq!(kept["colour"], "red");
    let listed = service.get("/v1/listings").await.json();
    assert_eq!(
        (&listed["listings"][0], &listed["next"]),
        (&kept, &Value::Null)
    );

    let id = findings(&service, "").await[0]["id"].clone();
    let photo = service.get(&format!("/v1/findings/{id}/photo")).await;
    assert_eq!((photo.status, &photo.body), (StatusCode::OK, &star));
    assert_eq!(photo.header("content-type"), "image/png");
    let mut again = to("GET", &format!("/v1/findings/{id}/photo"), Body::empty());
    let tag = photo.header("etag").parse().expect("a header");
    again.headers_mut().insert("if-none-match", tag);
    assert_eq!(service.call(again).await.status, StatusCode::NOT_MODIFIED);

    let gone = service.delete("/v1/listings/L%2F1").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for path in [
        "/v1/listings/L%2F1".to_owned(),
        format!("/v1/findings/{id}/photo"),
    ] {
        assert_eq!(
            service.get(&path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert!(findings(&service, "").await.is_empty());
}

#[tokio::test]
async fn nothing_is_kept_when_nothing_should_be() {
    let service = with_star().await;
    let answer = screen(&service, "?keep=nothing", &listing("L1", &[&picture(STAR)])).await;
    assert_eq!(answer["decision"], "block");
    assert_eq!(answer["photos"][0]["findings"][0]["id"], Value::Null);
    service.post_picture("/v1/match", picture(STAR)).await;
    assert!(findings(&service, "").await.is_empty());
    service.register("Luna", "Moon", &picture(STAR)).await;
    let looked = service.engine.look_back(|| true).expect("looked back");
    assert_eq!(looked.n_photos, 0);
}

#[tokio::test]
async fn a_rejection_teaches_and_undoing_it_unteaches() {
    let service = with_star().await;
    let first = screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
    let id = first["photos"][0]["findings"][0]["id"].clone();
    let body = json!({ "decision": "rejected", "reason": "a generic star", "decided_by": "ann" });
    let answer = decide(&service, &id, body).await.json();
    assert_eq!(
        (&answer["finding"]["status"], &answer["changed"]),
        (&json!("rejected"), &json!([id]))
    );

    // Another file, nearly the same picture, other sellers.
    let second = screen(&service, "", &listing("L2", &[&nearly_star(200)])).await;
    assert_eq!(second["decision"], "allow", "{second}");
    assert_eq!(second["reasons"][0]["code"], "rejected_before");
    let repeat = &second["photos"][0]["findings"][0];
    assert_eq!(
        (&repeat["status"], &repeat["seen_before"]),
        (&json!("suppressed"), &json!("rejected"))
    );
    let kept = service
        .get(&format!("/v1/findings/{}", repeat["id"]))
        .await
        .json();
    assert_eq!(kept["suppressed_by"]["finding_id"], id);
    assert_eq!(kept["earlier_decisions"][0]["decided_by"], "ann");
    assert_eq!(kept["n_repeats"], 1);
    // Also for one who keeps nothing.
    let unkept = screen(
        &service,
        "?keep=nothing",
        &listing("L3", &[&nearly_star(201)]),
    )
    .await;
    assert_eq!(unkept["decision"], "allow", "{unkept}");

    let undone = service.delete(&format!("/v1/findings/{id}/decision")).await;
    assert_eq!(undone.json()["finding"]["status"], "open");
    let again = service.delete(&format!("/v1/findings/{id}/decision")).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(findings(&service, "?status=open").await.len(), 2);
    let shown = service.get(&format!("/v1/findings/{id}")).await.json();
    let history = shown["decisions"].as_array().expect("a history");
    assert_eq!(
        (history.len(), &history[0]["reason"]),
        (2, &json!("a generic star"))
    );
}

#[tokio::test]
async fn a_confirmation_is_shown_with_repeats_and_a_cluster_is_decided_at_once() {
    let service = with_star().await;
    for (id, shade) in [("L1", 200), ("L2", 201), ("L3", 202)] {
        screen(&service, "", &listing(id, &[&nearly_star(shade)])).await;
    }
    let id = findings(&service, "").await[0]["id"].clone();
    let body = json!({ "decision": "confirmed", "scope": "cluster" });
    let answer = decide(&service, &id, body).await.json();
    assert_eq!(
        answer["changed"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );
    assert_eq!(findings(&service, "?status=confirmed").await.len(), 3);
    let repeat = screen(&service, "", &listing("L4", &[&nearly_star(203)])).await;
    assert_eq!(repeat["reasons"][0]["code"], "confirmed_before");
    assert_eq!(repeat["photos"][0]["findings"][0]["status"], "open");
    let undo = format!("/v1/findings/{id}/decision?scope=cluster&decided_by=bob");
    let undone = service.delete(&undo).await.json();
    assert_eq!(undone["changed"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn requests_about_findings_that_make_no_sense_are_refused() {
    let service = with_star().await;
    screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
    let id = findings(&service, "").await[0]["id"].clone();
    let address = format!("/v1/findings/{id}/decision");
    for (status, path) in [
        (404, "/v1/findings/99".to_owned()),
        (404, "/v1/findings/x".to_owned()),
        (404, format!("/v1/findings/{id}/photo")),
        (400, "/v1/findings?status=lost".to_owned()),
        (400, "/v1/findings?min_probability=2".to_owned()),
        (400, "/v1/findings?min_probability=NaN".to_owned()),
        (400, "/v1/findings?since=soon".to_owned()),
        (400, "/v1/findings?after=7".to_owned()),
        (400, "/v1/findings?limit=0".to_owned()),
        (400, "/v1/findings?format=csv".to_owned()),
        (400, "/v1/findings/export?format=xls".to_owned()),
        (400, "/v1/listings?after=x".to_owned()),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    for (status, path, body) in [
        (422, &address, json!({ "decision": "maybe" })),
        (422, &address, json!({ "reason": "x" })),
        (
            422,
            &address,
            json!({ "decision": "unsure", "reason": "x".repeat(1001) }),
        ),
        (
            404,
            &"/v1/findings/99/decision".to_owned(),
            json!({ "decision": "unsure" }),
        ),
    ] {
        let answer = service.post_json(path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body} {}", answer.text());
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let service = with_star().await;
    service.register("Luna", "Moon", &picture(MOON)).await;
    let (star, moon) = (picture(STAR), picture(MOON));
    screen(&service, "", &listing("L1", &[&star, &moon])).await;
    screen(&service, "", &listing("L2", &[&star])).await;
    for (query, n) in [
        ("?brand=Luna", 1),
        ("?seller=Joe", 3),
        ("?seller=12", 3),
        ("?listing_id=L1", 2),
        ("?kind=StolenPhoto", 0),
        ("?min_probability=0.5&status=open", 3),
        ("?since=2999-01-01", 0),
        ("?since=2020-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(findings(&service, query).await.len(), n, "{query}");
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = service
            .get(&format!("/v1/findings?limit=2{next}"))
            .await
            .json();
        seen.extend(page["findings"].as_array().expect("a list").clone());
        let Some(after) = page["next"].as_str() else {
            break;
        };
        next = format!("&after={after}");
    }
    assert_eq!(seen.len(), 3);
    assert!(
        seen[0]["priority"].as_f64() > seen[2]["priority"].as_f64(),
        "the star is in two listings"
    );
}

#[tokio::test]
async fn exports_are_whole_and_safe_in_spreadsheets() {
    let service = with_star().await;
    // More than are read at a time.
    let n = 300;
    for i in 0..n {
        let mut listing = listing(&format!("=L{i}"), &[&picture(STAR)]);
        listing["seller"]["name"] = json!("=HYPERLINK(\"http://evil.example\")");
        screen(&service, "", &listing).await;
    }
    let csv = service.get("/v1/findings/export?format=csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.header("content-disposition").contains("findings.csv"));
    let mut reader = csv::Reader::from_reader(&csv.body[..]);
    let headers = reader.headers().expect("a header").clone();
    let column = |name: &str| headers.iter().position(|h| h == name).expect("a column");
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), n);
    assert!(
        rows.iter()
            .all(|row| row[column("seller_name")].starts_with("'="))
    );
    assert!(
        rows.iter()
            .all(|row| row[column("listing_id")].starts_with("'=L"))
    );
    let lines = service
        .get("/v1/findings/export?format=jsonl&brand=Acme")
        .await
        .text();
    let ids: std::collections::BTreeSet<i64> = lines
        .lines()
        .map(|line| {
            let finding: Value = serde_json::from_str(line).expect("JSON");
            finding["id"].as_i64().expect("an id")
        })
        .collect();
    assert_eq!(ids.len(), n);
}

#[tokio::test]
async fn an_asset_registered_later_is_looked_for_in_photos_seen_before() {
    let service = Service::new();
    screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
    screen(&service, "?keep=photos", &listing("L2", &[&picture(MOON)])).await;
    let kept = service
        .post_picture("/v1/match?keep=findings", picture(STAR))
        .await;
    assert_eq!(kept.json()["findings"], json!([]));
    assert_eq!(
        service
            .engine
            .look_back(|| true)
            .expect("looked back")
            .n_photos,
        0
    );

    service.register("Acme", "Star", &picture(STAR)).await;
    service.register("Luna", "Moon", &picture(MOON)).await;
    let looked = service.engine.look_back(|| true).expect("looked back");
    // The star in its listing and on its own, the moon.
    assert_eq!((looked.n_photos, looked.n_findings), (2, 3));
    let found = findings(&service, "").await;
    assert_eq!(found.len(), 3);
    assert!(
        found.iter().all(|f| f["source"] == "look_back"),
        "{found:?}"
    );
    let moon = findings(&service, "?listing_id=L2").await;
    assert_eq!(
        (&moon[0]["brand"], &moon[0]["photo"]["width"]),
        (&json!("Luna"), &json!(96))
    );
    assert_eq!(
        service
            .engine
            .look_back(|| true)
            .expect("looked back")
            .n_photos,
        0
    );
}

#[tokio::test]
async fn a_seller_authorised_by_the_new_asset_is_no_open_finding_of_look_back() {
    let service = Service::new();
    screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
    let mut body = asset("Acme", "Star", &[&picture(STAR)]);
    body["authorised_sellers"] = json!(["12"]);
    service.post_json("/v1/assets", &body).await;
    service.engine.look_back(|| true).expect("looked back");
    assert_eq!(findings(&service, "").await[0]["status"], "authorised");
}

#[tokio::test]
async fn an_answer_comes_in_time_and_the_rest_is_checked_behind_it() {
    let gate = Arc::new(Gate::default());
    let mood = Mood::Gated(Arc::clone(&gate));
    let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
    service.register("Acme", "Star", &picture(STAR)).await;
    let started = Instant::now();
    let answer = screen(
        &service,
        "?budget_ms=200",
        &listing("L1", &[&picture(STAR)]),
    )
    .await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(answer["decision"], "review", "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "unchecked");
    assert_eq!(answer["continues_in_background"], true);
    let unchecked = &answer["unchecked"][0];
    assert_eq!(unchecked["photo"], "picture 1");
    assert!(
        unchecked["stages"]
            .as_array()
            .expect("stages")
            .contains(&json!("judge"))
    );
    let held = service.engine.store().next_held_photo(0).expect("a store");
    assert_eq!(held.expect("held on disk").1.listing.listing_id, "L1");

    gate.open();
    let patience = Instant::now();
    while findings(&service, "").await.is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(20), "never found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while service
        .engine
        .store()
        .next_held_photo(0)
        .expect("a store")
        .is_some()
    {
        assert!(patience.elapsed() < Duration::from_secs(20), "never let go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_answer_comes_in_time_though_every_place_is_taken() {
    let gate = Arc::new(Gate::default());
    let mood = Mood::Gated(Arc::clone(&gate));
    let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
    service.register("Acme", "Star", &picture(STAR)).await;
    let taken = service.post_picture("/v1/match", picture(MOON));
    let asked = async {
        let watched = Arc::clone(&gate);
        let inside = tokio::task::spawn_blocking(move || watched.wait_for(1));
        inside.await.expect("the only place is taken");
        let listing = listing("L1", &[&picture(STAR)]);
        let answer = screen(&service, "?budget_ms=200", &listing).await;
        gate.open();
        answer
    };
    let (matched, answer) = tokio::join!(taken, asked);
    assert_eq!(matched.status, StatusCode::OK, "{}", matched.text());
    assert_eq!(answer["decision"], "review", "{answer}");
    assert_eq!(answer["reasons"][0]["code"], "unchecked");
    assert_eq!(answer["unchecked"][0]["photo"], "picture 1");
    assert_eq!(answer["continues_in_background"], true);
}

#[tokio::test]
async fn what_a_stopped_process_left_unchecked_is_checked_at_the_next_start() {
    let service = with_star().await;
    let photo = |bytes: Vec<u8>| PendingPhoto {
        listing: serde_json::from_value(json!({ "listing_id": "L1" })).expect("a listing"),
        kept_as: None,
        name: "a.png".to_owned(),
        bytes,
        keeping: Keeping::default(),
    };
    let held = [photo(b"no picture".to_vec()), photo(picture(STAR))];
    service.engine.store().hold_photos(&held).expect("held");
    assert_eq!(service.engine.finish_held_photos(|| true).expect("done"), 1);
    assert_eq!(findings(&service, "?listing_id=L1").await.len(), 1);
    assert_eq!(
        service.engine.store().next_held_photo(0).expect("none"),
        None
    );
}

#[tokio::test]
async fn a_listing_forgotten_while_it_is_checked_stays_forgotten() {
    let gate = Arc::new(Gate::default());
    let mood = Mood::Gated(Arc::clone(&gate));
    let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
    service.register("Acme", "Star", &picture(STAR)).await;
    let running = service.engine.start_screening(ScreenRequest {
        listing: serde_json::from_value(json!({ "listing_id": "L1" })).expect("a listing"),
        photos: vec![ScreenPhoto {
            name: "a.png".to_owned(),
            bytes: Ok(picture(STAR)),
        }],
        keeping: Keeping {
            keep: Keep::Photos,
            days: 30,
        },
    });
    let running = running.expect("room");
    let early = running.answer(Some(Duration::ZERO)).expect("an answer");
    assert!(early.continues_in_background);
    let store = service.engine.store();
    assert!(store.next_held_photo(0).expect("readable").is_some());

    let gone = service.delete("/v1/listings/L1").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(store.next_held_photo(0).expect("readable"), None);
    gate.open();
    let late = running.answer(None).expect("an answer");
    let checked = late.photos[0].answer.as_ref().expect("checked");
    assert_eq!((checked.findings.len(), checked.findings[0].id), (1, None));
    assert!(findings(&service, "").await.is_empty());
    let shown = service.get("/v1/listings/L1").await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_listing_forgotten_while_its_held_photo_is_checked_stays_forgotten() {
    let gate = Arc::new(Gate::default());
    let mood = Mood::Gated(Arc::clone(&gate));
    let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
    service.register("Acme", "Star", &picture(STAR)).await;
    let listing = serde_json::from_value(json!({ "listing_id": "L1" })).expect("a listing");
    let keeping = Keeping::default();
    let store = service.engine.store();
    let held = PendingPhoto {
        kept_as: store.put_listing(&listing, keeping).expect("kept"),
        listing,
        name: "a.png".to_owned(),
        bytes: picture(STAR),
        keeping,
    };
    store.hold_photos(&[held]).expect("held");
    let engine = Arc::clone(&service.engine);
    let finishing = thread::spawn(move || engine.finish_held_photos(|| true));
    gate.wait_for(1);
    let gone = service.delete("/v1/listings/L1").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    gate.open();
    finishing.join().expect("no panic").expect("done");
    assert!(findings(&service, "").await.is_empty());
    // Not even its id is left.
    let gone = service.delete("/v1/listings/L1").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_held_photo_that_ends_in_a_panic_keeps_no_other_from_being_checked() {
    let service = Service::with(MoodyEmbedder::new(Mood::Panics), ServeLimits::default());
    let photo = |bytes: Vec<u8>| PendingPhoto {
        listing: serde_json::from_value(json!({ "listing_id": "L1" })).expect("a listing"),
        kept_as: None,
        name: "a.png".to_owned(),
        bytes,
        keeping: Keeping::default(),
    };
    let store = service.engine.store();
    let held = [photo(picture(STAR)), photo(b"no picture".to_vec())];
    let ids = store.hold_photos(&held).expect("held");
    assert_eq!(service.engine.finish_held_photos(|| true).expect("done"), 0);
    let first = store.next_held_photo(0).expect("a store").expect("held");
    assert_eq!(Some(first.0), ids[0], "it is tried again at the next start");
    assert_eq!(store.next_held_photo(first.0).expect("none"), None);
}

#[tokio::test]
async fn a_network_that_fails_or_panics_never_lets_a_listing_pass() {
    for mood in [Mood::Fails, Mood::Panics] {
        let service = Service::with(MoodyEmbedder::new(mood), ServeLimits::default());
        let answer = screen(&service, "", &listing("L1", &[&picture(STAR)])).await;
        assert_eq!(answer["decision"], "review", "{answer}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
}

#[tokio::test]
async fn an_asset_is_changed_only_at_the_version_that_was_read() {
    let service = with_star().await;
    let shown = service.get("/v1/assets/1").await;
    let read_again = |tag: &str| {
        let mut request = to("GET", "/v1/assets/1", Body::empty());
        let tag = tag.parse().expect("a header");
        request.headers_mut().insert("if-none-match", tag);
        request
    };
    let known = service.call(read_again(shown.header("etag"))).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert!(known.body.is_empty());
    let change = |tag: &str| {
        let mut request = json_to("PATCH", "/v1/assets/1", &json!({ "enabled": false }));
        let tag = tag.parse().expect("a header");
        request.headers_mut().insert("if-match", tag);
        request
    };
    let changed = service.call(change(shown.header("etag"))).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), shown.header("etag"));
    let renewed = service.call(read_again(shown.header("etag"))).await;
    assert_eq!(renewed.status, StatusCode::OK);
    let late = service.call(change(shown.header("etag"))).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let mut removal = to("DELETE", "/v1/assets/1", Body::empty());
    let tag = shown.header("etag").parse().expect("a header");
    removal.headers_mut().insert("if-match", tag);
    assert_eq!(
        service.call(removal).await.status,
        StatusCode::PRECONDITION_FAILED
    );
}

#[tokio::test]
async fn a_request_that_comes_again_is_answered_as_before_and_does_nothing() {
    let service = Service::new();
    let send = |key: &str, path: &str, body: &Value| {
        let mut request = json_to("POST", path, body);
        let key = key.parse().expect("a header");
        request.headers_mut().insert("idempotency-key", key);
        service.call(request)
    };
    let star = asset("Acme", "Star", &[&picture(STAR)]);
    let first = send("k1", "/v1/assets", &star).await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (StatusCode::CREATED, "")
    );
    let again = send("k1", "/v1/assets", &star).await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(
        (again.body, again.headers.get("location")),
        (first.body, first.headers.get("location"))
    );
    let other = send(
        "k1",
        "/v1/assets",
        &asset("Luna", "Moon", &[&picture(MOON)]),
    )
    .await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        service.get("/v1/assets").await.json()["assets"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    let listing = listing("L1", &[&picture(STAR)]);
    let screened = send("k2", "/v1/screen", &listing).await.json();
    service.delete("/v1/assets/1").await;
    assert_eq!(send("k2", "/v1/screen", &listing).await.json(), screened);
    // What failed may be tried again.
    let bad = send("k3", "/v1/screen", &json!({})).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        send("k3", "/v1/screen", &listing).await.status,
        StatusCode::OK
    );
    assert_eq!(
        send("", "/v1/screen", &listing).await.status,
        StatusCode::BAD_REQUEST
    );
}
