//! Photos that a manifest gives by web addresses.

use std::fs;

use serde_json::json;

use super::{COPY, NOTHING, Scene};
use crate::fetch::server::{Reply, Server, answer, ok};

#[test]
fn addresses_are_fetched_when_asked_for() {
    let scene = Scene::new();
    let shop = Server::on("127.0.0.1", |path, _| match path {
        "/copy.jpg" => ok(&fs::read(COPY).expect("a fixture")),
        "/nothing.jpg" => ok(&fs::read(NOTHING).expect("a fixture")),
        "/page.jpg" => ok(b"<html>"),
        _ => Reply::Raw(answer("404 Not Found", "", b"")),
    });
    let file = fs::canonicalize(NOTHING).expect("a fixture");
    let line = |id: &str, photo: &str| {
        let photo = match photo.strip_prefix('/') {
            Some(_) if photo.ends_with("fixture") => file.display().to_string(),
            Some(_) => shop.url(photo),
            None => photo.to_owned(),
        };
        format!("{}\n", json!({"listing_id": id, "photos": [photo]}))
    };
    let lines = [
        line("A", "/nothing.jpg"),
        line("B", "/copy.jpg"),
        line("C", "/fixture"),
        line("D", "/absent.jpg"),
        line("E", "http://127.0.0.2/inside.jpg"),
        line("F", "/page.jpg"),
        line("G", "/copy.jpg"),
        line("H", "ftp://shop.example/a.jpg"),
    ];
    let source = scene.write("listings.jsonl", &lines.concat());
    let out = scene.path("out.jsonl");

    let without = scene.program.run(&Scene::arguments(&source, &out, &[]));
    assert_eq!(without.code(), 1, "{}", without.stderr());
    let rows = scene.rows("out.jsonl");
    let error = rows[1]["error"].as_str().expect("a reason");
    assert!(error.contains("--fetch-urls"), "{error}");
    assert_eq!(rows[2]["verdict"], "Clear");
    assert_eq!(shop.n_requests(), 0);

    // Not the same scan: it is not taken for done.
    let allow = format!("127.0.0.1:{}", shop.address.port());
    let flags = ["--fetch-urls", "--fetch-allow", &allow, "--resume"];
    let with = scene.program.run(&Scene::arguments(&source, &out, &flags));
    assert_eq!(with.code(), 1, "{}", with.stderr());
    let rows = scene.rows("out.jsonl");
    let verdicts: Vec<_> = rows.iter().map(|row| row["verdict"].as_str()).collect();
    let (clear, flagged) = (Some("Clear"), Some("Flagged"));
    assert_eq!(
        verdicts,
        [clear, flagged, clear, None, None, None, flagged, None]
    );
    for (idx, part) in [(3, "404"), (4, "public internet"), (7, "ftp:")] {
        let error = rows[idx]["error"].as_str().expect("a reason");
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(rows[1]["sha256"], rows[6]["sha256"]);
    let n_requests = shop.n_requests();
    let again = scene.program.run(&Scene::arguments(&source, &out, &flags));
    assert!(
        again.stderr().contains("already done"),
        "{}",
        again.stderr()
    );
    assert_eq!(shop.n_requests(), n_requests);
}

#[test]
fn operators_say_what_may_be_fetched() {
    let scene = Scene::new();
    let shop = Server::on("127.0.0.1", |_, _| ok(b"<html>"));
    let line = json!({"listing_id": "A", "photos": [shop.url("/a.jpg")]});
    let source = scene.write("listings.jsonl", &format!("{line}\n"));
    let out = scene.path("out.jsonl");
    let run = |flags: &[&str]| {
        let flags = [&["--fetch-urls", "--fetch-allow", "127.0.0.1:*"], flags].concat();
        scene.program.run(&Scene::arguments(&source, &out, &flags))
    };
    let kept_to_others = run(&["--fetch-only", "*.shop.example"]);
    assert_eq!(kept_to_others.code(), 1, "{}", kept_to_others.stderr());
    let error = scene.rows("out.jsonl")[0]["error"].to_string();
    assert!(error.contains("not among the hosts"), "{error}");
    assert_eq!(shop.n_requests(), 0);
    // No certificate in it.
    let manifest = source.as_str();
    for (flags, part) in [
        (["--fetch-allow", "a*b.example"], "no host and no network"),
        (["--fetch-allow", "a.example:0"], "no port"),
        (["--fetch-only", "10.0.0.0/8"], "name hosts here"),
        (["--fetch-ca", "absent.pem"], "absent.pem"),
        (["--fetch-ca", manifest], "no certificate"),
    ] {
        let refused = run(&flags);
        assert_eq!(refused.code(), 2, "{flags:?}");
        assert!(refused.stderr().contains(part), "{}", refused.stderr());
    }
}
