//! What decisions teach: exemplars, moved probabilities, promises; and that what is taken back is unlearnt.

use axum::body::Body;
use axum::http::StatusCode;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::service::{MOON, STAR, Service, base64, json_to, picture, png, to};
use touchstone::domain::{Opinion, Role};
use touchstone::evidence::make_bundle;
use touchstone::http::EntranceSettings;
use touchstone::store::{DecisionScope, NewDecision, NewKey};

/// A star whose colours have gone so many hundredths of the way to a moon's. At 24 it is found with 86 %, at 36
/// not at all, though the two are alike.
fn faded(hundredths: u16) -> Vec<u8> {
    let share = f32::from(hundredths) / 100.0;
    let mut quarters = STAR;
    for (quarter, moon) in quarters.iter_mut().zip(MOON) {
        for (value, moon) in quarter.iter_mut().zip(moon) {
            *value = ((1.0 - share) * f32::from(*value) + share * f32::from(moon)).round() as u8;
        }
    }
    picture(quarters)
}

async fn with_star() -> Service {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    service
}

/// Matches a photo, keeps it, and gives the finding.
async fn kept(service: &Service, photo: Vec<u8>) -> Value {
    let answer = service.post_picture("/v1/match?keep=photos", photo).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["findings"][0].clone()
}

async fn decide(service: &Service, finding: &Value, opinion: &str) {
    let address = format!("/v1/findings/{}/decision", finding["id"]);
    let answer = service
        .post_json(&address, &json!({ "decision": opinion }))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

async fn learn(service: &Service, finding: &Value) -> super::service::Answer {
    let address = format!("/v1/findings/{}/exemplar", finding["id"]);
    service.call(to("PUT", &address, Body::empty())).await
}

#[tokio::test]
async fn a_confirmed_part_of_a_photo_finds_what_looks_like_it_until_that_is_taken_back() {
    let service = with_star().await;
    assert!(service.brands_in(faded(36)).await.is_empty());
    let finding = kept(&service, faded(24)).await;

    let refused = learn(&service, &finding).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    decide(&service, &finding, "confirmed").await;
    let learnt = learn(&service, &finding).await;
    assert_eq!(learnt.status, StatusCode::CREATED, "{}", learnt.text());
    let again = learn(&service, &finding).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json(), learnt.json());

    let found = service.post_picture("/v1/match", faded(36)).await.json();
    assert_eq!(found["findings"][0]["brand"], "Acme", "{found}");
    let reasons = found["findings"][0]["reasons"].to_string();
    assert!(reasons.contains("confirmed before"), "{reasons}");
    let pictures = service.get("/v1/assets/1/images").await.json();
    let pictures = pictures["pictures"].as_array().expect("a list").clone();
    assert_eq!(pictures.len(), 2);
    assert_eq!(pictures[0].get("exemplar_of"), None);
    assert_eq!(pictures[1]["exemplar_of"], finding["id"]);
    assert_eq!(pictures[1]["id"], learnt.json()["picture"]);

    let address = format!("/v1/findings/{}/decision", finding["id"]);
    service.delete(&address).await;
    assert!(service.brands_in(faded(36)).await.is_empty());
    let pictures = service.get("/v1/assets/1/images").await.json();
    assert_eq!(pictures["pictures"].as_array().map(Vec::len), Some(1));
    let audit = service.get("/v1/audit").await.text();
    assert!(audit.contains("exemplar_added") && audit.contains("exemplar_of"));
}

#[tokio::test]
async fn a_decision_that_takes_the_place_of_a_confirmation_or_a_wish_unlearns_it_too() {
    let service = with_star().await;
    let finding = kept(&service, faded(24)).await;
    for ends in ["rejected", "unsure", "wish"] {
        decide(&service, &finding, "confirmed").await;
        assert_eq!(learn(&service, &finding).await.status, StatusCode::CREATED);
        if ends == "wish" {
            let address = format!("/v1/findings/{}/exemplar", finding["id"]);
            let answer = service.delete(&address).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
            let shown = service
                .get(&format!("/v1/findings/{}", finding["id"]))
                .await;
            assert_eq!(shown.json()["status"], "confirmed");
        } else {
            decide(&service, &finding, ends).await;
        }
        let pictures = service.get("/v1/assets/1/images").await.json();
        assert_eq!(
            pictures["pictures"].as_array().map(Vec::len),
            Some(1),
            "{ends}"
        );
    }
}

#[tokio::test]
async fn without_the_photo_nothing_can_be_learnt() {
    let service = with_star().await;
    let answer = service
        .post_picture("/v1/match?keep=findings", faded(24))
        .await;
    let finding = answer.json()["findings"][0].clone();
    decide(&service, &finding, "confirmed").await;
    let refused = learn(&service, &finding).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("not kept"), "{}", refused.text());
    let unknown = service
        .call(to("PUT", "/v1/findings/99/exemplar", Body::empty()))
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

/// A star with one stripe so coloured that no two of them are near copies, each found for certain.
fn striped(n: u8) -> Vec<u8> {
    let star = image::load_from_memory(&faded(2))
        .expect("a PNG")
        .into_rgb8();
    let stripe = u32::from(n) % 12 * 8;
    png(&RgbImage::from_fn(96, 96, |x, y| {
        if (stripe..stripe + 6).contains(&(if n < 12 { x } else { y })) {
            Rgb([128, 128, 128])
        } else {
            *star.get_pixel(x, y)
        }
    }))
}

/// Says of findings in `n` photos what `opinion` says; nearly equal photos count once.
fn decide_on(service: &Service, photos: std::ops::Range<u8>, opinion: Opinion) {
    for n in photos {
        let keeping = touchstone::domain::Keeping::default();
        let case = service
            .engine
            .match_and_keep(&striped(n), "photo", None, keeping, None);
        let case = case.expect("a photo");
        let id = case.findings[0].id.expect("kept");
        let decision = NewDecision {
            opinion,
            reason: None,
            decided_by: "ann".to_owned(),
        };
        let decided = service
            .engine
            .store()
            .decide(id, &decision, DecisionScope::Finding);
        decided.expect("decided");
    }
}

#[tokio::test]
async fn rejections_lower_the_brand_s_probabilities_and_no_other_s() {
    let service = with_star().await;
    service.register("Luna", "Moon", &picture(MOON)).await;
    let probability = |answer: Value| answer["findings"][0]["probability"].as_f64();
    let star = || service.post_picture("/v1/match", picture(STAR));
    let moon = || service.post_picture("/v1/match", picture(MOON));
    let (before, moon_before) = (star().await.json(), moon().await.json());
    assert_eq!(before["findings"][0].get("untaught_probability"), None);
    decide_on(&service, 0..6, Opinion::Rejected);
    let after = star().await.json();
    assert!(
        probability(after.clone()) < probability(before.clone()),
        "{after}"
    );
    assert_eq!(
        after["findings"][0]["untaught_probability"],
        before["findings"][0]["probability"]
    );
    assert!(after.to_string().contains("decisions on earlier findings"));
    assert_eq!(probability(moon().await.json()), probability(moon_before));
    let brand = service.get("/v1/brands/1").await.json();
    assert_eq!(brand["teaching"]["n_confirmed"], 0);
    assert!(
        brand["teaching"]["n_decided"].as_u64() >= Some(3),
        "{brand}"
    );
    assert!(brand["teaching"]["bias"].as_f64() < Some(0.0));
}

async fn promise(service: &Service, precision: f64) -> Value {
    let body = json!({ "precision": precision });
    let request = json_to("PUT", "/v1/brands/1/promise", &body);
    let answer = service.call(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()["teaching"].clone()
}

#[tokio::test]
async fn a_promise_flags_nothing_until_decisions_bear_it_out() {
    let service = with_star().await;
    let verdict = || async {
        let answer = service.post_picture("/v1/match", picture(STAR)).await;
        answer.json()
    };
    assert_eq!(verdict().await["verdict"], "Flagged");
    let promised = promise(&service, 0.6).await;
    assert_eq!(promised["promise"]["flag_at"], Value::Null, "{promised}");
    assert_eq!(promised["grounds"]["n_needed"], 5, "0.6 ^ 5 < 0.1");
    let held = verdict().await;
    assert_eq!(held["verdict"], "Review", "{held}");
    assert!(
        held.to_string().contains("not flagged: too few decisions"),
        "{held}"
    );

    decide_on(&service, 0..24, Opinion::Confirmed);
    let brand = service.get("/v1/brands/1").await.json();
    let n = brand["teaching"]["n_decided"].as_u64().expect("a number");
    assert!(n >= 5, "photos of different clusters are needed: {n}");
    assert_eq!(verdict().await["verdict"], "Flagged", "{brand}");
    assert!(brand["teaching"]["grounds"]["bound"].as_f64() >= Some(0.6));

    let taken_back = service.delete("/v1/brands/1/promise").await.json();
    assert_eq!(taken_back["teaching"]["promise"], Value::Null);
    assert!(verdict().await["findings"][0].get("promise").is_none());
}

#[tokio::test]
async fn promises_that_make_no_sense_are_refused() {
    let service = with_star().await;
    for (status, path, body) in [
        (422, "/v1/brands/1/promise", json!({ "precision": 0.3 })),
        (422, "/v1/brands/1/promise", json!({ "precision": 1.0 })),
        (422, "/v1/brands/1/promise", json!({ "precison": 0.9 })),
        (404, "/v1/brands/9/promise", json!({ "precision": 0.9 })),
        (404, "/v1/brands/x/promise", json!({ "precision": 0.9 })),
    ] {
        let answer = service.call(json_to("PUT", path, &body)).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{path} {body}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_bundle_of_what_was_learnt_gives_the_same_again() {
    let service = with_star().await;
    let finding = kept(&service, faded(24)).await;
    decide(&service, &finding, "confirmed").await;
    assert_eq!(learn(&service, &finding).await.status, StatusCode::CREATED);
    decide_on(&service, 0..4, Opinion::Rejected);
    promise(&service, 0.9).await;
    let photo = faded(36);
    let examined = service.engine.examine(&photo, None).expect("a photo");
    assert!(
        examined.judgement.judged[0]
            .finding
            .untaught_probability
            .is_some()
    );
    let made = make_bundle(&service.engine, "photo.png", &photo, &examined).expect("a bundle");
    assert_eq!(made.check.differences, []);
}

#[tokio::test]
async fn an_owner_bound_to_a_brand_tries_photos_and_teaches_its_own_alone() {
    let service = Service::guarded(EntranceSettings::default());
    let key_of = |role: Role, brands: &[&str]| {
        let key = NewKey {
            tenant: touchstone::domain::TenantName::default(),
            role,
            label: role.to_string(),
            brands: brands.iter().map(|&brand| brand.to_owned()).collect(),
            expires_at: None,
        };
        let issued = service
            .keys
            .create_key(key, jiff::Timestamp::now(), |_| Ok(()));
        issued.expect("a key").text
    };
    let (owner, operator) = (key_of(Role::Owner, &["Acme"]), key_of(Role::Operator, &[]));
    let ask = |key: &str, method: &str, path: &str, body: Value| {
        let mut request = json_to(method, path, &body);
        let key = format!("Bearer {key}").parse().expect("a header");
        request.headers_mut().insert("authorization", key);
        service.call(request)
    };
    for (brand, quarters) in [("Acme", STAR), ("Luna", MOON)] {
        let asset = super::service::asset(brand, "Mark", &[&picture(quarters)]);
        let answer = ask(&operator, "POST", "/v1/assets", asset).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    }
    let photo = |quarters| json!({ "base64": base64(&picture(quarters)) });
    let own = ask(&owner, "POST", "/v1/match", photo(STAR)).await.json();
    assert_eq!(own["verdict"], "Flagged");
    let others = ask(&owner, "POST", "/v1/match", photo(MOON)).await;
    assert_eq!(others.json()["verdict"], "Clear");
    assert!(!others.text().contains("Luna"));
    let kept = ask(&owner, "POST", "/v1/match?keep=photos", photo(MOON)).await;
    assert_eq!(kept.json()["findings"], json!([]), "{}", kept.text());
    let all = ask(&operator, "GET", "/v1/findings", json!({}))
        .await
        .json();
    assert_eq!(
        all["findings"],
        json!([]),
        "nothing of others is kept for it"
    );

    // Not the registered picture itself, which the asset has.
    let seen = json!({ "base64": base64(&faded(94)) });
    let seen = ask(&operator, "POST", "/v1/match?keep=photos", seen).await;
    let id = seen.json()["findings"][0]["id"].clone();
    let body = json!({ "decision": "confirmed" });
    ask(
        &operator,
        "POST",
        &format!("/v1/findings/{id}/decision"),
        body,
    )
    .await;
    let exemplar = format!("/v1/findings/{id}/exemplar");
    let precision = json!({ "precision": 0.9 });
    for (method, path) in [
        ("PUT", exemplar.as_str()),
        ("DELETE", exemplar.as_str()),
        ("GET", "/v1/brands/2"),
        ("PUT", "/v1/brands/2/promise"),
        ("DELETE", "/v1/brands/2/promise"),
    ] {
        let answer = ask(&owner, method, path, precision.clone()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    let own = ask(&owner, "PUT", "/v1/brands/1/promise", precision).await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text());
    assert_eq!(
        ask(&operator, "PUT", &exemplar, json!({})).await.status,
        StatusCode::CREATED
    );
}
