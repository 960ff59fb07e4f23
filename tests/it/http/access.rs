//! Who may ask for what: every line of the access table with every kind of key, and that nobody sees
//! what is another's.

mod sessions;

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::openapi::all_routed;
use super::service::{Answer, MOON, STAR, Service, asset, base64, json_to, picture, to};
use touchstone::domain::{Role, TenantName};
use touchstone::http::{AccessRule, AccessWho, Bound, EntranceSettings, KeyRate, RULES};
use touchstone::store::{AuditPage, NewKey};

/// A key's request.
fn with_key(mut request: Request<Body>, key: &str) -> Request<Body> {
    let value = format!("Bearer {key}").parse().expect("a header");
    request.headers_mut().insert("authorization", value);
    request
}

fn new_key(tenant: &str, role: Role, brands: &[&str]) -> NewKey {
    NewKey {
        tenant: tenant.parse().expect("a name"),
        role,
        label: format!("{role} of {tenant}"),
        brands: brands.iter().map(|&brand| brand.to_owned()).collect(),
        expires_at: None,
    }
}

fn issue(service: &Service, new: NewKey, now: Timestamp) -> (String, touchstone::domain::KeyId) {
    let issued = service.keys.create_key(new, now, |_| Ok(()));
    let issued = issued.expect("a key");
    (issued.text, issued.record.id)
}

fn key_of(service: &Service, tenant: &str, role: Role, brands: &[&str]) -> String {
    issue(service, new_key(tenant, role, brands), Timestamp::now()).0
}

async fn ask(service: &Service, key: &str, method: &str, path: &str) -> Answer {
    service
        .call(with_key(to(method, path, Body::empty()), key))
        .await
}

/// The route's address with ids that are nobody's.
fn unused(rule: &AccessRule) -> String {
    filled(rule, "999999", "999999", "nobody")
}

fn filled(rule: &AccessRule, id: &str, picture: &str, listing: &str) -> String {
    let id = if rule.path.contains("keys") {
        "000000000000"
    } else {
        id
    };
    rule.path
        .replace("{id}", id)
        .replace("{picture}", picture)
        .replace("{listing_id}", listing)
        .replace("{size}", "small")
        .replace("{change}", "disable")
        .replace("{file}", "console.css")
        .replace("{*rest}", "index.html")
}

#[test]
fn every_route_has_a_line_and_every_line_a_route() {
    let mut routes = all_routed();
    assert!(routes.len() > 40, "the reading of the sources is broken");
    // These are a library's.
    for path in ["/openapi.json", "/docs", "/docs/", "/docs/{*rest}"] {
        routes.insert(("get".to_owned(), path.to_owned()));
    }
    let lines: BTreeSet<_> = RULES
        .iter()
        .map(|rule| (rule.method.to_lowercase(), rule.path.to_owned()))
        .collect();
    let without_line: Vec<_> = routes.difference(&lines).collect();
    let without_route: Vec<_> = lines.difference(&routes).collect();
    assert!(
        without_line.is_empty(),
        "no line in access/rules.rs: {without_line:?}"
    );
    assert!(
        without_route.is_empty(),
        "lines without a route: {without_route:?}"
    );
}

#[tokio::test]
async fn every_route_lets_in_whom_its_line_names_and_nobody_else() {
    let service = Service::guarded(EntranceSettings::default());
    let now = Timestamp::now();
    let long_ago = now - SignedDuration::from_hours(3);
    let mut brief = new_key("default", Role::Operator, &[]);
    brief.expires_at = Some(now - SignedDuration::from_hours(1));
    let (expired, _) = issue(&service, brief, long_ago);
    let (revoked, id) = issue(&service, new_key("default", Role::Operator, &[]), now);
    let ended = service.keys.revoke_key(&id, None, now, |_| Ok(()));
    ended.expect("revoked");
    let good = key_of(&service, "default", Role::Operator, &[]);
    let forged = format!("{}{}", &good[..16], "0".repeat(64));
    let bound = key_of(&service, "default", Role::Owner, &["Acme"]);
    let keys = Role::ALL.iter().map(|&role| {
        let key = key_of(&service, "default", role, &[]);
        (role, key)
    });
    let keys: Vec<_> = keys.collect();
    for rule in RULES {
        let path = unused(rule);
        let name = format!("{} {}", rule.method, rule.path);
        let is_free = rule.who == AccessWho::Anyone;
        for (kind, bad) in [
            ("no key", ""),
            ("expired", &expired),
            ("revoked", &revoked),
            ("forged", &forged),
        ] {
            let mut request = to(rule.method, &path, Body::empty());
            if !bad.is_empty() {
                request = with_key(request, bad);
            }
            let answer = service.call(request).await;
            let is_refused = answer.status == StatusCode::UNAUTHORIZED;
            // A sign-in without a key is refused by its own page.
            assert!(is_refused != is_free || path == "/sign-in", "{name} {kind}");
            if is_refused && path != "/sign-in" {
                assert_eq!(answer.header("content-type"), "application/problem+json");
                assert!(answer.header("www-authenticate").starts_with("Bearer"));
            }
        }
        for (role, key) in &keys {
            let answer = ask(&service, key, rule.method, &path).await;
            let expected = rule.admits(*role, false);
            check_admitted(&answer, expected, &format!("{name} {role}"));
        }
        let answer = ask(&service, &bound, rule.method, &path).await;
        let expected = rule.admits(Role::Owner, true);
        check_admitted(&answer, expected, &format!("{name} bound owner"));
    }
}

fn check_admitted(answer: &Answer, expected: bool, name: &str) {
    let is_refused = answer.status == StatusCode::FORBIDDEN;
    assert_eq!(
        !is_refused,
        expected,
        "{name}: {} {}",
        answer.status,
        answer.text()
    );
    let is_own_fault = answer.status.is_server_error();
    assert!(!is_own_fault, "{name}: {} {}", answer.status, answer.text());
    if expected && !name.contains("/sign-in") {
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_route_or_no_method_is_told_as_before() {
    let service = Service::guarded(EntranceSettings::default());
    let key = service.key(Role::Operator);
    let answer = ask(&service, &key, "GET", "/nothing/here").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = ask(&service, &key, "PUT", "/v1/assets").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    let answer = ask(&service, &key, "HEAD", "/v1/assets").await;
    assert_eq!(answer.status, StatusCode::OK);
    let service = Service::guarded(EntranceSettings::default());
    let head = to("HEAD", "/v1/assets", Body::empty());
    assert_eq!(service.call(head).await.status, StatusCode::UNAUTHORIZED);
}

/// Two brands with the same picture, and a kept listing that shows it: a finding for each.
async fn with_two_brands(service: &Service) -> [Held; 2] {
    let operator = service.key(Role::Operator);
    let star = picture(STAR);
    for (brand, name) in [("Acme", "Star"), ("Rival", "Comet")] {
        let body = asset(brand, name, &[&star]);
        let request = with_key(json_to("POST", "/v1/assets", &body), &operator);
        assert_eq!(service.call(request).await.status, StatusCode::CREATED);
    }
    let listing = json!({
        "listing_id": "L1", "seller": { "id": "joe" }, "photos": [{ "base64": base64(&star) }],
    });
    let request = json_to("POST", "/v1/screen?keep=photos", &listing);
    let answer = service.call(with_key(request, &operator)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let findings = ask(service, &operator, "GET", "/v1/findings").await.json();
    ["Acme", "Rival"].map(|brand| {
        let findings = findings["findings"].as_array().expect("a list");
        let own = findings.iter().find(|finding| finding["brand"] == brand);
        let own = own.unwrap_or_else(|| panic!("nothing of {brand} was found"));
        Held {
            asset: own["asset_id"].to_string(),
            finding: own["id"].to_string(),
        }
    })
}

#[tokio::test]
async fn a_photo_kept_for_one_brand_becomes_no_finding_of_another_later() {
    let service = Service::guarded(EntranceSettings::default());
    let operator = service.key(Role::Operator);
    let acme = key_of(&service, "default", Role::Owner, &["Acme"]);
    let register = async |brand: &str, name: &str, shown| {
        let body = asset(brand, name, &[&picture(shown)]);
        let request = with_key(json_to("POST", "/v1/assets", &body), &operator);
        assert_eq!(service.call(request).await.status, StatusCode::CREATED);
    };
    let keep = async |key: &str| {
        let body = json!({ "base64": base64(&picture(STAR)) });
        let request = json_to("POST", "/v1/match?keep=photos", &body);
        let answer = service.call(with_key(request, key)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    };
    let n_found = async || {
        service.engine.look_back(|| true).expect("looked back");
        let found = ask(&service, &operator, "GET", "/v1/findings").await.json();
        found["findings"].as_array().map_or(0, Vec::len)
    };
    register("Acme", "Moon", MOON).await;
    keep(&acme).await;
    register("Rival", "Comet", STAR).await;
    assert_eq!(n_found().await, 0, "Acme's unpublished picture");
    // What its own brand registers is looked for there.
    register("Acme", "Star", STAR).await;
    assert_eq!(n_found().await, 1);
    // And what everybody may see, everybody's.
    keep(&operator).await;
    assert_eq!(n_found().await, 3);
}

/// What a brand has; its picture has the number of its asset.
struct Held {
    asset: String,
    finding: String,
}

impl Held {
    fn address(&self, rule: &AccessRule) -> String {
        let is_finding = rule.path.contains("findings") || rule.path.contains("review");
        let id = if is_finding {
            &self.finding
        } else {
            &self.asset
        };
        filled(rule, id, &self.asset, "L1")
    }
}

fn decision() -> Value {
    json!({ "decision": "rejected" })
}

/// A request that would do something.
fn telling(rule: &AccessRule, path: &str, key: &str) -> Request<Body> {
    let mut request = match (rule.method, rule.path) {
        ("POST", "/v1/findings/{id}/decision") => json_to("POST", path, &decision()),
        ("PATCH", _) => json_to("PATCH", path, &json!({ "enabled": false })),
        ("POST", "/v1/assets/{id}/images") => {
            let pictures = json!({ "pictures": [{ "base64": base64(&picture(STAR)) }] });
            json_to("POST", path, &pictures)
        }
        ("PUT", "/v1/brands/{id}/promise") => json_to("PUT", path, &json!({ "precision": 0.9 })),
        ("POST", "/brands/{id}/promise") => to("POST", path, Body::from("precision=0.9")),
        ("POST", "/review/{id}/decide") => to("POST", path, Body::from("opinion=rejected")),
        (
            "POST",
            "/review/{id}/undo" | "/review/{id}/exemplar" | "/review/{id}/exemplar/remove",
        ) => to("POST", path, Body::from("filters=")),
        (method, _) => to(method, path, Body::empty()),
    };
    if !request.headers().contains_key("content-type") {
        let kind = "application/x-www-form-urlencoded"
            .parse()
            .expect("a header");
        request.headers_mut().insert("content-type", kind);
    }
    with_key(request, key)
}

#[tokio::test]
async fn another_tenants_key_sees_and_changes_nothing() {
    let service = Service::guarded(EntranceSettings::default());
    let held = with_two_brands(&service).await;
    let own = service.key(Role::Operator);
    let before = everything(&service, &own).await;
    let other = key_of(&service, "other", Role::Operator, &[]);
    // The description of the API has examples that are called as things are here.
    let told = RULES
        .iter()
        .filter(|rule| !rule.path.starts_with("/openapi"));
    for rule in told {
        for held in &held {
            let path = held.address(rule);
            let name = format!("{} {path}", rule.method);
            let answer = service.call(telling(rule, &path, &other)).await;
            check_silent(&answer, &["Acme", "Rival", "Comet", "L1", "joe"], &name);
            if rule.path.contains('{')
                && rule.who != AccessWho::Anyone
                && !rule.path.contains("docs")
            {
                let is_missing = answer.status == StatusCode::NOT_FOUND;
                // A form that lacks its fields is refused before anything is looked for.
                let is_unread = answer.status.is_client_error() && rule.method == "POST";
                assert!(is_missing || is_unread, "{name}: {}", answer.status);
            }
        }
    }
    assert_eq!(everything(&service, &own).await, before);
}

#[tokio::test]
async fn an_owner_bound_to_a_brand_sees_and_changes_nothing_of_others() {
    let service = Service::guarded(EntranceSettings::default());
    let [own, rival] = with_two_brands(&service).await;
    let operator = service.key(Role::Operator);
    let acme = key_of(&service, "default", Role::Owner, &["Acme"]);
    let before = everything(&service, &operator).await;
    for rule in RULES.iter().filter(|rule| rule.bound == Bound::Narrowed) {
        let path = rival.address(rule);
        let name = format!("{} {path}", rule.method);
        let answer = service.call(telling(rule, &path, &acme)).await;
        check_silent(&answer, &["Rival", "Comet"], &name);
        if rule.path.contains('{') {
            let is_missing = answer.status == StatusCode::NOT_FOUND;
            let is_unread = answer.status.is_client_error() && rule.method == "POST";
            assert!(is_missing || is_unread, "{name}: {}", answer.status);
        }
    }
    assert_eq!(everything(&service, &operator).await, before);
    // What is its own it sees, with nothing in it that tells of the other.
    for rule in RULES.iter().filter(|rule| rule.bound == Bound::Narrowed) {
        if rule.method != "GET" {
            continue;
        }
        let path = own.address(rule);
        let answer = ask(&service, &acme, "GET", &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        check_silent(&answer, &["Rival", "Comet"], &path);
    }
    let seen = ask(&service, &acme, "GET", "/v1/findings").await.json();
    assert_eq!(seen["findings"].as_array().map(Vec::len), Some(1));
    let foreign = json_to(
        "POST",
        "/v1/assets",
        &asset("Rival", "Moon", &[&picture(STAR)]),
    );
    let answer = service.call(with_key(foreign, &acme)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let again = json_to(
        "POST",
        "/v1/assets",
        &asset("Acme", "Sun", &[&picture(STAR)]),
    );
    let answer = service.call(with_key(again, &acme)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let elsewhere = &answer.json()["same_picture_elsewhere"];
    let told = elsewhere.as_array().expect("a list").iter();
    let told: Vec<String> = told.map(|pair| pair[0].to_string()).collect();
    assert_eq!(told, [own.asset]);
}

fn check_silent(answer: &Answer, words: &[&str], name: &str) {
    let text = answer.text();
    for word in words {
        // The address itself holds the listing's id, and an error may repeat it.
        let is_repeated = *word == "L1" && name.contains("L1") && !answer.status.is_success();
        assert!(
            is_repeated || !text.contains(word),
            "{name} tells of {word}: {text}"
        );
    }
}

/// All that there is, as an operator sees it.
async fn everything(service: &Service, key: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for path in ["/v1/brands", "/v1/assets", "/v1/findings", "/v1/listings"] {
        let answer = ask(service, key, "GET", path).await;
        assert_eq!(answer.status, StatusCode::OK);
        texts.push(answer.text());
    }
    texts
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked_over_http() {
    let service = Service::guarded(EntranceSettings::default());
    let operator = service.key(Role::Operator);
    let body = json!({ "role": "owner", "label": "Acme desk", "brands": ["Acme"], "days": 30 });
    let request = with_key(json_to("POST", "/v1/keys", &body), &operator);
    let made = service.call(request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    let key = made["key"].as_str().expect("a key").to_owned();
    assert_eq!(made["brands"], json!(["Acme"]));
    assert_eq!(
        ask(&service, &key, "GET", "/v1/assets").await.status,
        StatusCode::OK
    );

    let listed = ask(&service, &operator, "GET", "/v1/keys").await;
    let secret = key.rsplit('_').next().expect("a secret");
    assert!(!listed.text().contains(secret));
    assert_eq!(listed.json()["keys"].as_array().map(Vec::len), Some(2));

    // Neither another tenant's operator nor a wrong id ends it.
    let path = format!("/v1/keys/{}", made["id"].as_str().expect("an id"));
    let other = key_of(&service, "other", Role::Operator, &[]);
    assert_eq!(
        ask(&service, &other, "DELETE", &path).await.status,
        StatusCode::NOT_FOUND
    );
    let nobody = ask(&service, &operator, "DELETE", "/v1/keys/x").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let ended = ask(&service, &operator, "DELETE", &path).await;
    assert_eq!(ended.status, StatusCode::OK);
    assert!(ended.json()["revoked_at"].is_string());
    let refused = ask(&service, &key, "GET", "/v1/assets").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text().contains("revoked"), "{}", refused.text());

    for body in [
        json!({ "role": "owner", "label": "" }),
        json!({ "role": "reviewer", "label": "x", "brands": ["Acme"] }),
        json!({ "role": "owner", "label": "x", "days": 0 }),
        json!({ "role": "king", "label": "x" }),
        json!({ "role": "owner", "label": "x", "tenant": "other" }),
    ] {
        let request = with_key(json_to("POST", "/v1/keys", &body), &operator);
        let answer = service.call(request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
}

#[tokio::test]
async fn what_is_done_is_in_the_audit_log_with_who_did_it() {
    let service = Service::guarded(EntranceSettings::default());
    let [own, _] = with_two_brands(&service).await;
    let operator = service.key(Role::Operator);
    let reviewer = service.key(Role::Reviewer);
    let path = format!("/v1/findings/{}/decision", own.finding);
    let mut decide = with_key(json_to("POST", &path, &decision()), &reviewer);
    let id = "order-7".parse().expect("a header");
    decide.headers_mut().insert("x-request-id", id);
    let decided = service.call(decide).await.json();
    assert_eq!(decided["finding"]["decision"]["decided_by"], "reviewer");
    let named = json_to(
        "POST",
        &path,
        &json!({ "decision": "unsure", "decided_by": "ann" }),
    );
    let decided = service.call(with_key(named, &reviewer)).await.json();
    let by = &decided["finding"]["decision"]["decided_by"];
    assert_eq!(by, "ann, by reviewer", "a name never hides the key");
    ask(&service, &reviewer, "DELETE", &path).await;
    ask(&service, &reviewer, "GET", "/v1/findings/export?format=csv").await;
    let body = json!({ "role": "screener", "label": "shop" });
    let made = with_key(json_to("POST", "/v1/keys", &body), &operator);
    let made = service.call(made).await.json();
    ask(
        &service,
        &operator,
        "DELETE",
        &format!("/v1/keys/{}", made["id"].as_str().expect("id")),
    )
    .await;
    ask(&service, &operator, "DELETE", "/v1/listings/L1").await;
    ask(
        &service,
        &operator,
        "DELETE",
        &format!("/v1/assets/{}", own.asset),
    )
    .await;

    let mut done = Vec::new();
    let mut after = String::new();
    loop {
        let page = ask(
            &service,
            &operator,
            "GET",
            &format!("/v1/audit?limit=3{after}"),
        )
        .await;
        let page = page.json();
        done.extend(page["entries"].as_array().expect("a list").clone());
        match page["next"].as_i64() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let words: Vec<_> = done
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().expect("a word"))
        .collect();
    let expected = [
        "asset_registered",
        "asset_registered",
        "decided",
        "decided",
        "decision_undone",
        "exported",
        "key_created",
        "key_revoked",
        "listing_removed",
        "asset_removed",
    ];
    assert_eq!(words, expected);
    let first = done
        .iter()
        .find(|entry| entry["action"] == "decided" && entry["request_id"] == "order-7");
    let first = first.expect("the request's entry");
    assert_eq!(
        (&first["who"], &first["role"]),
        (&json!("reviewer"), &json!("reviewer"))
    );
    assert_eq!(first["subject"], format!("finding {}", own.finding));
    assert_eq!(first["details"]["decision"], "rejected");
    assert_eq!(
        done[0]["details"]["brand"], "Acme",
        "its name outlives the asset"
    );
    let decisions = ask(&service, &operator, "GET", "/v1/audit?action=decided")
        .await
        .json();
    assert_eq!(decisions["entries"].as_array().map(Vec::len), Some(2));
    // A tenant's log is its own.
    let other = key_of(&service, "other", Role::Operator, &[]);
    let theirs = ask(&service, &other, "GET", "/v1/audit").await.json();
    assert_eq!(theirs["entries"], json!([]));
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let n = |n| std::num::NonZeroU32::new(n).expect("not 0");
    let service = Service::guarded(EntranceSettings {
        rate: Some(KeyRate {
            per_second: n(1),
            burst: n(3),
        }),
        ..EntranceSettings::default()
    });
    let (busy, quiet) = (service.key(Role::Reviewer), service.key(Role::Reviewer));
    let mut refused = None;
    for _ in 0..5 {
        let answer = ask(&service, &busy, "GET", "/v1/brands").await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("five at once are too many");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        refused.json()["type"],
        "urn:problem:touchstone:too-many-requests"
    );
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=2).contains(&seconds));
    assert_eq!(
        ask(&service, &quiet, "GET", "/v1/brands").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_answer_is_not_given_again_to_another_key() {
    let service = Service::guarded(EntranceSettings::default());
    let (one, two) = (service.key(Role::Operator), service.key(Role::Operator));
    let post = |key: &str| {
        let body = asset("Acme", "Star", &[&picture(STAR)]);
        let mut request = with_key(json_to("POST", "/v1/assets", &body), key);
        let name = "same".parse().expect("a header");
        request.headers_mut().insert("idempotency-key", name);
        request
    };
    assert_eq!(service.call(post(&one)).await.status, StatusCode::CREATED);
    let again = service.call(post(&one)).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = service.call(post(&two)).await;
    assert_eq!(other.header("idempotency-replayed"), "");
    assert_eq!(other.status, StatusCode::OK, "all of it was there");
}

#[tokio::test]
async fn an_open_server_asks_for_no_key_but_heeds_one() {
    let service = Service::new();
    assert_eq!(service.get("/v1/assets").await.status, StatusCode::OK);
    let screener = service.key(Role::Screener);
    let answer = ask(&service, &screener, "GET", "/v1/assets").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let answer = ask(&service, "ts_wrong", "GET", "/v1/assets").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let entries = service.engine.store().audit_entries(&AuditPage {
        limit: 5,
        ..AuditPage::default()
    });
    assert_eq!(entries.expect("a log"), []);
    let tenant = TenantName::default();
    assert_eq!(service.keys.keys(Some(&tenant)).expect("keys").len(), 1);
}

#[tokio::test]
async fn the_servers_measurements_are_for_its_own_operators() {
    let service = Service::guarded(EntranceSettings::default());
    let operator = service.key(Role::Operator);
    ask(&service, &operator, "GET", "/v1/assets/7").await;
    ask(&service, "ts_wrong", "MADEUP7", "/v1/assets").await;
    let mut photo = to("POST", "/v1/match", Body::from(picture(STAR)));
    let kind = "image/png".parse().expect("a header");
    photo.headers_mut().insert("content-type", kind);
    let matched = service.call(with_key(photo, &operator)).await;
    assert_eq!(matched.status, StatusCode::OK);
    let told = ask(&service, &operator, "GET", "/metrics").await;
    assert_eq!(told.status, StatusCode::OK);
    let text = told.text();
    for expected in [
        "touchstone_requests_total{route=\"/v1/assets/{id}\",method=\"GET\",status=\"404\"}",
        "method=\"other\"",
        "touchstone_request_seconds_bucket{route=\"/v1/assets/{id}\",le=\"0.001\"}",
        "touchstone_stage_seconds_bucket{stage=\"embed\"",
        "touchstone_requests_in_progress",
        "touchstone_jobs_waiting{lane=\"reads\"}",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
    assert!(!text.contains("MADEUP7"), "{text}");
    let other = key_of(&service, "other", Role::Operator, &[]);
    let refused = ask(&service, &other, "GET", "/metrics").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
