//! The description of the API, held to what the router does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::Value;

use super::service::{Service, to};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Method, in small letters, and path.
pub type Route = (String, String);

/// Every method and path in the description.
fn described(document: &Value) -> BTreeSet<Route> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("an object").keys();
        let methods = methods.filter(|key| METHODS.contains(&key.as_str()));
        methods
            .map(|m| (m.clone(), path.clone()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Every method and path of the API that a `.route(…)` in the sources names.
fn routed() -> BTreeSet<Route> {
    let mut routes = all_routed();
    routes.retain(|(_, path)| {
        path.starts_with("/v1/") || ["/metrics", "/healthz", "/readyz"].contains(&path.as_str())
    });
    routes
}

/// Every method and path that a `.route(…)` in the sources names.
pub fn all_routed() -> BTreeSet<Route> {
    let mut texts = Vec::new();
    read_all(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"),
        &mut texts,
    );
    let mut routes = BTreeSet::new();
    for text in &texts {
        for call in text.split(".route(").skip(1) {
            let path = call.split('"').nth(1).expect("a path").to_owned();
            let arguments = &call[..end_of_call(call)];
            for method in METHODS {
                let names_it = arguments.contains(&format!(" {method}("))
                    || arguments.contains(&format!(".{method}("))
                    || arguments.contains(&format!("\n{method}("));
                if names_it {
                    routes.insert((method.to_owned(), path.clone()));
                }
            }
        }
    }
    routes
}

fn read_all(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            texts.push(fs::read_to_string(&path).expect("readable"));
        }
    }
}

fn end_of_call(text: &str) -> usize {
    let mut depth = 1;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let service = Service::new();
    let answer = service.get("/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    let document = answer.json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|v| v.starts_with("3.1"))
    );
    let (described, routed) = (described(&document), routed());
    assert!(
        routed.len() >= 20,
        "the reading of the sources is broken: {routed:?}"
    );
    assert_eq!(described, routed);
    for (method, path) in &described {
        let path = path
            .replace("{id}", "1")
            .replace("{picture}", "1")
            .replace("{listing_id}", "L");
        let answer = service
            .call(to(&method.to_uppercase(), &path, Body::empty()))
            .await;
        assert_ne!(
            answer.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert!(
            !answer.text().contains("there is no /v1"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn every_operation_says_what_it_does_and_shows_an_example_of_what_it_takes() {
    let document = Service::new().get("/openapi.json").await.json();
    for (method, path) in described(&document) {
        let operation = &document["paths"][&path][&method];
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(
            operation["responses"]["default"].is_object(),
            "{method} {path}"
        );
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            let json = content.get("application/json").expect("JSON is taken");
            assert!(
                json["example"].is_object(),
                "{method} {path} has no example"
            );
        }
    }
}

#[tokio::test]
async fn examples_can_be_sent_as_they_are() {
    let service = Service::new();
    let document = service.get("/openapi.json").await.json();
    let example = |method: &str, path: &str| {
        document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]
            .clone()
    };
    let registered = service
        .post_json("/v1/assets", &example("post", "/v1/assets"))
        .await;
    assert_eq!(
        registered.status,
        StatusCode::CREATED,
        "{}",
        registered.text()
    );
    for path in ["/v1/match", "/v1/screen"] {
        let answer = service.post_json(path, &example("post", path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    }
    let decision = example("post", "/v1/findings/{id}/decision");
    let decided = service
        .post_json("/v1/findings/1/decision", &decision)
        .await;
    assert_eq!(decided.status, StatusCode::OK, "{}", decided.text());
}

#[tokio::test]
async fn the_page_to_browse_comes_from_here_alone() {
    let service = Service::new();
    let page = service.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text().contains("https://"), "{}", page.text());
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'self'")
    );
    assert!(page.text().contains("swagger-ui"));
    let script = service.get("/docs/swagger-ui-bundle.js").await;
    assert_eq!(script.status, StatusCode::OK);
    assert!(script.header("content-type").contains("javascript"));
}
