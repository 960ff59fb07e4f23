//! `POST /v1/match`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::service::{MOON, STAR, Service, asset, base64, brands_of, picture};

#[tokio::test]
async fn all_ways_of_sending_a_photo_give_the_same_verdict() {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    let photo = picture(STAR);
    let raw = service.post_picture("/v1/match", photo.clone()).await;
    let form = service
        .post_form("/v1/match", &[("photo", Some("a.png"), &photo)])
        .await;
    let json = service
        .post_json("/v1/match", &json!({ "base64": base64(&photo) }))
        .await;
    for answer in [raw, form, json] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let verdict = answer.json();
        assert_eq!(verdict["verdict"], "Flagged");
        assert_eq!(verdict["photo_size"], json!([96, 96]));
        assert!(verdict["timings_ms"]["prepare"].is_number());
        let finding = &verdict["findings"][0];
        assert_eq!(finding["brand"], "Acme");
        assert_eq!(finding["kind"], "LogoPresent");
        assert!(finding["probability"].as_f64() > Some(0.9), "{finding}");
    }
}

#[tokio::test]
async fn a_photo_with_nothing_registered_is_clear() {
    let service = Service::new();
    assert!(service.brands_in(picture(STAR)).await.is_empty());
    service.register("Acme", "Star", &picture(STAR)).await;
    let answer = service.post_picture("/v1/match", picture(MOON)).await;
    let verdict = answer.json();
    assert_eq!(verdict["verdict"], "Clear", "{verdict}");
    assert_eq!(verdict["findings"], json!([]));
}

#[tokio::test]
async fn several_photos_are_answered_in_their_order() {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    service.register("Luna", "Moon", &picture(MOON)).await;
    let (star, moon) = (picture(STAR), picture(MOON));
    let answer = service
        .post_form(
            "/v1/match",
            &[
                ("photo", Some("1.png"), &moon),
                ("photo", Some("2.png"), &star),
            ],
        )
        .await;
    let verdicts: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list");
    let brands: Vec<_> = verdicts.iter().map(brands_of).collect();
    assert_eq!(brands, [["Luna"], ["Acme"]]);
}

#[tokio::test]
async fn an_unreadable_photo_among_several_is_named() {
    let service = Service::new();
    let star = picture(STAR);
    let answer = service
        .post_form(
            "/v1/match",
            &[
                ("photo", Some("good.png"), &star),
                ("photo", Some("cut.png"), &star[..star.len() / 2]),
            ],
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem = answer.json();
    assert_eq!(problem["picture"], "cut.png", "{problem}");
}

#[tokio::test]
async fn an_authorised_seller_is_recognised_however_it_is_given() {
    let service = Service::new();
    let mut body = asset("Acme", "Star", &[&picture(STAR)]);
    body["authorised_sellers"] = json!(["shop-7"]);
    let answer = service.post_json("/v1/assets", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let photo = picture(STAR);
    let file = ("photo", Some("a.png"), &photo[..]);
    let in_address = service
        .post_picture("/v1/match?seller_id=shop-7", photo.clone())
        .await;
    let in_form = service
        .post_form("/v1/match", &[file, ("seller_id", None, b"shop-7")])
        .await;
    let form_over_address = service
        .post_form(
            "/v1/match?seller_id=other",
            &[("seller_id", None, b"shop-7"), file],
        )
        .await;
    let in_json = service
        .post_json(
            "/v1/match",
            &json!({ "base64": base64(&photo), "seller": { "id": "shop-7" } }),
        )
        .await;
    for answer in [in_address, in_form, form_over_address, in_json] {
        let verdict = answer.json();
        assert_eq!(verdict["verdict"], "Clear", "{verdict}");
        assert_eq!(verdict["findings"][0]["authorised_seller"], true);
    }
    let other = service
        .post_picture("/v1/match?seller_id=shop-8", photo)
        .await;
    assert_eq!(other.json()["verdict"], "Flagged");
}
