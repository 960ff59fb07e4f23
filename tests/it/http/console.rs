//! The console's pages as answers: what a browser may do with them, and what they never let through.
//! How they look and work in a browser is tested in `tests/console/`.

use axum::body::Body;
use axum::http::StatusCode;

use super::service::{MOON, STAR, Service, picture, to};

#[tokio::test]
async fn pages_allow_nothing_from_elsewhere_and_nothing_inline() {
    let service = Service::new();
    let id = service.register("Acme", "Star", &picture(STAR)).await;
    for path in ["/", "/try", "/assets", &format!("/assets/{id}")] {
        let page = service.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = page.text();
        for inline in [
            "<style",
            " style=",
            " onclick=",
            "<script>",
            "http://",
            "//cdn",
        ] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn names_are_shown_as_text_whatever_they_hold() {
    let service = Service::new();
    let evil = "<script>alert(1)</script>\"'&";
    let id = service.register(evil, evil, &picture(STAR)).await;
    let photo = picture(STAR);
    let found = service
        .post_form("/try", &[("photo", Some(evil), &photo)])
        .await;
    let asset = service.get(&format!("/assets/{id}")).await;
    let list = service.get("/assets").await;
    for page in [found, asset, list] {
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        assert!(!page.text().contains("<script>alert"), "{}", page.text());
        assert!(page.text().contains("&#60;script&#62;alert"));
    }
}

#[tokio::test]
async fn files_change_their_address_with_their_content() {
    let service = Service::new();
    let page = service.get("/").await.text();
    let start = page.find("/console/console.css?v=").expect("a style");
    let address = page[start..].split('"').next().expect("an address");
    let style = service.get(address).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(style.header("cache-control").contains("immutable"));
    let gone = service.get("/console/secret.txt").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn errors_are_pages_for_browsers_and_problems_for_programs() {
    let service = Service::new();
    for path in ["/assets/7", "/nowhere"] {
        let mut asked = to("GET", path, Body::empty());
        let accept = "text/html,*/*;q=0.8".parse().expect("a header");
        asked.headers_mut().insert("accept", accept);
        let page = service.call(asked).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.text().contains("There is nothing here"));
        let problem = service.get(path).await;
        assert_eq!(problem.status, StatusCode::NOT_FOUND);
        assert_eq!(problem.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn pictures_come_scaled_and_are_gone_when_removed() {
    let service = Service::new();
    let id = service.register("Acme", "Star", &picture(STAR)).await;
    let images = service.get(&format!("/v1/assets/{id}/images")).await.json();
    let picture_id = images["pictures"][0]["id"].as_i64().expect("an id");
    let address = format!("/pictures/{picture_id}/small");
    let small = service.get(&address).await;
    assert_eq!(small.header("content-type"), "image/jpeg");
    let pixels = image::load_from_memory(&small.body).expect("a picture");
    assert_eq!([pixels.width(), pixels.height()], [96, 96]);
    let mut again = to("GET", &address, Body::empty());
    let tag = small.headers["etag"].clone();
    again.headers_mut().insert("if-none-match", tag);
    assert_eq!(service.call(again).await.status, StatusCode::NOT_MODIFIED);

    let removed = service
        .call(to("POST", &format!("/assets/{id}/remove"), Body::empty()))
        .await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert_eq!(service.get(&address).await.status, StatusCode::NOT_FOUND);
    assert!(service.brands_in(picture(STAR)).await.is_empty());
}

#[tokio::test]
async fn what_looks_alike_is_named_when_it_is_registered() {
    let service = Service::new();
    let star = service.register("Acme", "Star", &picture(STAR)).await;
    service.register("Luna", "Moon", &picture(MOON)).await;
    let file = picture(STAR);
    let form: &[(&str, Option<&str>, &[u8])] = &[
        ("brand", None, b"Other"),
        ("kind", None, b"logo"),
        ("picture", Some("sun.png"), &file),
    ];
    let answer = service.post_form("/assets", form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let location = answer.header("location");
    assert!(location.ends_with(&format!("&like={star}")), "{location}");
    let page = service.get(location).await.text();
    assert!(page.contains("Looks like what is registered already"));
    assert!(page.contains("<bdi>sun</bdi>"), "named by its file");
}

#[tokio::test]
async fn a_kept_photo_is_reviewed_decided_and_undone_with_forms() {
    let service = Service::new();
    service.register("Acme", "Star", &picture(STAR)).await;
    let photo = picture(STAR);
    let form: &[(&str, Option<&str>, &[u8])] =
        &[("photo", Some("star.png"), &photo), ("keep", None, b"1")];
    let tried = service.post_form("/try", form).await;
    assert!(
        tried.text().contains("Kept for 365 days"),
        "{}",
        tried.text()
    );
    let queue = service.get("/review").await.text();
    assert!(queue.contains("Acme, Star"), "{queue}");
    let evidence = service.get("/review/1/evidence").await;
    assert_eq!(evidence.status, StatusCode::OK, "{}", evidence.text());
    let small = service.get("/review/1/photo/small").await;
    assert_eq!(small.header("content-type"), "image/jpeg");

    let evil = "filters=status%3Dall%26x%3D%0d%0aset-cookie:a";
    for (action, body, done) in [
        (
            "decide",
            format!("opinion=rejected&reason=ours&{evil}"),
            "rejected",
        ),
        ("undo", evil.to_owned(), "undone"),
    ] {
        let mut request = to("POST", &format!("/review/1/{action}"), Body::from(body));
        let kind = "application/x-www-form-urlencoded".parse().expect("a type");
        request.headers_mut().insert("content-type", kind);
        let answer = service.call(request).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
        let location = answer.header("location");
        assert!(location.contains("?status=all&done="), "{location}");
        assert!(location.contains(done), "{location}");
        let page = service.get(location).await.text();
        assert!(page.contains("ours"), "the history says why");
    }
    assert_eq!(
        service.get("/review/99").await.status,
        StatusCode::NOT_FOUND
    );
}
