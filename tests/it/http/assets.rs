//! Brands, assets and their pictures.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::service::{MOON, STAR, Service, asset, base64, blank, json_to, picture, to};

#[tokio::test]
async fn an_asset_is_matched_as_soon_as_it_is_registered_and_until_it_is_removed() {
    let service = Service::new();
    assert!(service.brands_in(picture(STAR)).await.is_empty());
    let id = service.register("Acme", "Star", &picture(STAR)).await;
    assert_eq!(service.brands_in(picture(STAR)).await, ["Acme"]);

    let address = format!("/v1/assets/{id}");
    for (enabled, n_found) in [(false, 0), (true, 1)] {
        let change = json_to("PATCH", &address, &json!({ "enabled": enabled }));
        let answer = service.call(change).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["enabled"], enabled);
        assert_eq!(service.brands_in(picture(STAR)).await.len(), n_found);
    }

    let answer = service.delete(&address).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(service.brands_in(picture(STAR)).await.is_empty());
    for again in [service.get(&address).await, service.delete(&address).await] {
        assert_eq!(again.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn registering_in_a_form_keeps_everything_that_was_said() {
    let service = Service::new();
    let draft = json!({
        "brand": "Acme", "name": "Star", "kind": "packaging", "registration_number": "EM 123",
        "valid_from": "2020-01-01", "notes": "since 1920", "word_marks": ["ACME"],
    });
    let (star, moon) = (picture(STAR), picture(MOON));
    let answer = service
        .post_form(
            "/v1/assets",
            &[
                ("asset", None, draft.to_string().as_bytes()),
                ("picture", Some("star.png"), &star),
                ("picture", Some("moon.png"), &moon),
            ],
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let registered = answer.json();
    assert_eq!(registered["created"], true);
    assert_eq!(registered["added"].as_array().map(Vec::len), Some(2));
    let location = answer.header("location");
    let shown = service.get(location).await.json();
    assert_eq!(shown, registered["asset"]);
    for (field, value) in draft.as_object().expect("an object") {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!(shown["n_pictures"], 2);
}

#[tokio::test]
async fn registering_again_adds_nothing_and_says_so() {
    let service = Service::new();
    let body = asset("Acme", "Star", &[&picture(STAR)]);
    let first = service.post_json("/v1/assets", &body).await;
    let again = service.post_json("/v1/assets", &body).await;
    assert_eq!(
        [first.status, again.status],
        [StatusCode::CREATED, StatusCode::OK]
    );
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json()["created"], false);
    assert_eq!(again.json()["duplicates"], first.json()["added"]);
    let other = asset("Luna", "Moon", &[&picture(STAR)]);
    let other = service.post_json("/v1/assets", &other).await.json();
    assert_eq!(
        other["same_picture_elsewhere"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn one_bad_picture_keeps_the_whole_asset_out_and_is_named() {
    let service = Service::new();
    let good = base64(&picture(STAR));
    for (bad, reason) in [
        (b"GIF89a".to_vec(), ""),
        (picture(MOON)[..60].to_vec(), ""),
        (blank(), "blank"),
        (Vec::new(), "empty"),
    ] {
        let body = json!({
            "brand": "Acme", "name": "Star", "kind": "logo",
            "pictures": [{ "base64": good }, { "name": "bad.png", "base64": base64(&bad) }],
        });
        let answer = service.post_json("/v1/assets", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        let problem = answer.json();
        assert_eq!(problem["picture"], "bad.png", "{problem}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(reason), "{detail}");
    }
    assert_eq!(service.get("/v1/assets").await.json()["assets"], json!([]));
    assert_eq!(service.get("/v1/brands").await.json()["brands"], json!([]));
}

#[tokio::test]
async fn drafts_that_make_no_sense_are_refused() {
    let service = Service::new();
    let picture = base64(&picture(STAR));
    for (field, value, told) in [
        ("brand", json!(" "), "brand is empty"),
        ("name", json!("x".repeat(300)), "300"),
        ("kind", json!("banner"), "banner"),
        ("valid_from", json!("yesterday"), "asset"),
        ("valid_until", json!("2019-01-01"), "2019-01-01"),
        ("authorized_sellers", json!([]), "authorized_sellers"),
        ("pictures", json!([]), "at least one picture"),
        ("pictures", json!([{ "base64": "?" }]), "base64"),
        ("pictures", json!([{ "path": "/etc/passwd" }]), "path"),
    ] {
        let mut body = json!({
            "brand": "Acme", "name": "Star", "kind": "logo", "valid_from": "2020-01-01",
            "pictures": [{ "base64": picture }],
        });
        body[field] = value;
        let answer = service.post_json("/v1/assets", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(told), "{field}: {detail}");
    }
    assert_eq!(service.get("/v1/assets").await.json()["assets"], json!([]));
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let service = Service::new();
    for name in ["Star", "Star bright", "Sun"] {
        service.register("Acme", name, &picture(STAR)).await;
    }
    let moon = service.register("Luna", "Moon", &picture(MOON)).await;
    let off = json_to(
        "PATCH",
        &format!("/v1/assets/{moon}"),
        &json!({ "enabled": false }),
    );
    service.call(off).await;
    for (query, names) in [
        ("", &["Star", "Star bright", "Sun", "Moon"][..]),
        ("?brand=Acme", &["Star", "Star bright", "Sun"]),
        ("?brand=Acme&name=star", &["Star", "Star bright"]),
        ("?enabled=false", &["Moon"]),
        ("?kind=product", &[]),
        ("?limit=4", &["Star", "Star bright", "Sun", "Moon"]),
    ] {
        let page = service.get(&format!("/v1/assets{query}")).await.json();
        assert_eq!(names_of(&page), names, "{query}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
    let (mut seen, mut address) = (Vec::new(), "/v1/assets?limit=1".to_owned());
    loop {
        let page = service.get(&address).await.json();
        seen.extend(names_of(&page));
        match &page["next"] {
            Value::Null => break,
            next => address = format!("/v1/assets?limit=1&after={next}"),
        }
    }
    assert_eq!(seen, ["Star", "Star bright", "Sun", "Moon"]);
    let brands = service.get("/v1/brands").await.json();
    assert_eq!(brands["brands"][0]["name"], "Acme");
    assert_eq!(brands["brands"][0]["n_assets"], 3);
}

fn names_of(page: &Value) -> Vec<String> {
    let assets = page["assets"].as_array().expect("a list");
    let names = assets.iter().map(|asset| asset["name"].as_str());
    names.map(|name| name.expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn pictures_are_added_listed_read_and_removed() {
    let service = Service::new();
    let id = service.register("Acme", "Star", &picture(STAR)).await;
    let images = format!("/v1/assets/{id}/images");
    let added = service.post_picture(&images, picture(MOON)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text());
    assert_eq!(added.json()["asset"]["n_pictures"], 2);
    let again = service.post_picture(&images, picture(MOON)).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(service.brands_in(picture(MOON)).await, ["Acme"]);

    let listed = service.get(&images).await.json();
    let moon = &listed["pictures"][1];
    assert_eq!((&moon["width"], &moon["height"]), (&json!(96), &json!(96)));
    let address = format!("{images}/{}", moon["id"]);
    let file = service.get(&address).await;
    assert_eq!(file.body, picture(MOON));
    assert_eq!(file.header("content-type"), "image/png");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let mut cached = to("GET", &address, Body::empty());
    let tag = file.headers["etag"].clone();
    cached.headers_mut().insert("if-none-match", tag);
    let cached = service.call(cached).await;
    assert_eq!(cached.status, StatusCode::NOT_MODIFIED);
    assert!(cached.body.is_empty());

    // A picture is found under its own asset only.
    let other = service.register("Luna", "Sun", &picture(STAR)).await;
    let astray = format!("/v1/assets/{other}/images/{}", moon["id"]);
    assert_eq!(service.get(&astray).await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.delete(&astray).await.status, StatusCode::NOT_FOUND);

    assert_eq!(
        service.delete(&address).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(service.get(&address).await.status, StatusCode::NOT_FOUND);
    assert!(service.brands_in(picture(MOON)).await.is_empty());
}

#[tokio::test]
async fn an_svg_is_served_so_that_its_scripts_do_not_run() {
    let service = Service::new();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'>\
        <script>alert(1)</script><rect width='32' height='32' fill='red'/></svg>";
    let id = service.register("Acme", "Star", svg).await;
    let images = format!("/v1/assets/{id}/images");
    let listed = service.get(&images).await.json();
    let address = format!("{images}/{}", listed["pictures"][0]["id"]);
    let file = service.get(&address).await;
    assert_eq!(file.header("content-type"), "image/svg+xml");
    let policy = file.header("content-security-policy");
    assert!(
        policy.contains("sandbox") && !policy.contains("allow-scripts"),
        "{policy}"
    );
}

#[tokio::test]
async fn health_tells_what_is_registered() {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    assert_eq!(service.get("/healthz").await.status, StatusCode::OK);
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(
        ready.json(),
        json!({ "status": "ready", "model": "fake@1", "n_assets": 1, "n_pictures": 1 })
    );
}
