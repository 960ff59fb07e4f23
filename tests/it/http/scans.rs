//! Scans as jobs: handed in, done in the background, fetched, forgotten, gone on with after a kill.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::service::{Answer, Gate, MOON, Mood, MoodyEmbedder, STAR, Service, open, picture, to};
use super::webhooks::{Killable, free_port, wait_for};
use crate::cli::{COPY, PACK, Program};
use crate::fetch::server::{Server, ok};
use crate::scan::write_tar;
use touchstone::embed::Embedder;
use touchstone::embed::fake::FakeEmbedder;
use touchstone::fetch::{FetchPolicy, Fetcher};
use touchstone::http::{ServeLimits, serve};

/// Nothing here should take this long.
const PATIENCE: Duration = Duration::from_secs(300);

fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    write_tar(&mut archive, members);
    archive
}

fn handed_in(kind: &str, bytes: Vec<u8>) -> Request<Body> {
    let mut request = to("POST", "/v1/scans", Body::from(bytes));
    let kind = kind.parse().expect("a header");
    request.headers_mut().insert("content-type", kind);
    request
}

/// A server with a mark registered, whose scans are worked on until it is dropped.
struct Running {
    service: Service,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(embedder: impl Embedder + 'static) -> Self {
        let service = Service::with(embedder, ServeLimits::default());
        service.register("Acme", "Star", &picture(STAR)).await;
        let policy = FetchPolicy {
            allow: vec!["127.0.0.1:*".parse().expect("a rule")],
            ..FetchPolicy::default()
        };
        let state = service
            .state(open(), ServeLimits::default())
            .fetching_photos(Arc::new(Fetcher::new(policy)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, state, async {
            let _ = stopped.await;
        }));
        Self {
            service,
            _stop: stop,
        }
    }

    async fn hand_in(&self, kind: &str, bytes: Vec<u8>) -> String {
        let answer = self.service.call(handed_in(kind, bytes)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        assert_eq!(answer.json()["state"], "waiting");
        answer.header("location").to_owned()
    }

    async fn ended(&self, path: &str) -> Value {
        let started = Instant::now();
        loop {
            let scan = self.service.get(path).await.json();
            if !scan["ended_at"].is_null() {
                return scan;
            }
            assert!(started.elapsed() < PATIENCE, "{scan}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn rows(&self, path: &str) -> Vec<Value> {
        let result = self.service.get(&format!("{path}/result")).await;
        assert_eq!(result.status, StatusCode::OK, "{}", result.text());
        rows(&result)
    }

    /// Folders of scans that lie in the home.
    fn n_folders(&self) -> usize {
        let folder = self.service.engine.settings().home.join("scans");
        fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

fn rows(result: &Answer) -> Vec<Value> {
    let text = result.text();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_scanned_and_its_results_come_in_three_forms() {
    let running = Running::start(FakeEmbedder::default()).await;
    let archive = tar(&[
        ("L1.front.png", picture(STAR)),
        ("L1.back.png", picture(MOON)),
        ("L2.png", b"no picture".to_vec()),
    ]);
    let path = running.hand_in("application/x-tar", archive).await;
    let scan = running.ended(&path).await;
    assert_eq!(
        (&scan["state"], &scan["n_photos"], &scan["n_done"]),
        (&json!("done"), &json!(3), &json!(3))
    );
    assert_eq!(
        (&scan["summary"]["n_flagged"], &scan["summary"]["n_failed"]),
        (&json!(1), &json!(1))
    );
    let rows = running.rows(&path).await;
    let verdicts: Vec<_> = rows.iter().map(|row| row["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("Flagged"), Some("Clear"), None]);
    assert_eq!(rows[0]["findings"][0]["brand"], "Acme");
    // No answer tells where the server keeps it.
    let home = running.service.engine.settings().home.display().to_string();
    assert!(!format!("{scan}{rows:?}").contains(&home), "{rows:?}");
    let form = |format: &str| {
        let path = format!("{path}/result?format={format}");
        let service = &running.service;
        async move { service.get(&path).await }
    };
    let csv = form("csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(csv.text().contains("Acme"), "{}", csv.text());
    assert!(!csv.text().contains(&home), "{}", csv.text());
    let parquet = form("parquet").await;
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    assert_eq!(form("html").await.status, StatusCode::BAD_REQUEST);
    // What leaves is written down.
    let audit = running
        .service
        .get("/v1/audit?action=exported")
        .await
        .json();
    let entries = audit["entries"].as_array().expect("a list");
    let formats: Vec<_> = entries
        .iter()
        .map(|entry| &entry["details"]["format"])
        .collect();
    assert_eq!(formats, ["parquet", "csv", "jsonl"]);
    assert!(entries.iter().all(|entry| entry["subject"] == "scan 1"));
    let folder = running.service.engine.settings().home.join("scans");
    let folder = fs::read_dir(folder).expect("a folder").next();
    let folder = folder.expect("a scan's").expect("readable").path();
    let report = fs::read_to_string(folder.join("results.html")).expect("a report");
    assert!(report.contains("aria-label=\"Listing photo with the finding's box\""));
    // As after a backup was restored.
    fs::remove_file(folder.join("results.csv")).expect("there");
    assert_eq!(form("csv").await.status, StatusCode::NOT_FOUND);
    let list = running.service.get("/v1/scans").await.json();
    assert_eq!(list, json!({ "scans": [scan], "next": null }));
    assert_eq!(
        running.service.delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        running.service.get(&path).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(running.n_folders(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_lead_to_addresses_and_to_no_file_of_the_server() {
    let shop = Server::on("127.0.0.1", |_, _| ok(&picture(STAR)));
    let running = Running::start(FakeEmbedder::default()).await;
    let here = running.service.engine.settings().home.join("secret.png");
    fs::write(&here, picture(STAR)).expect("a file");
    let here = here.display();
    let manifest = format!(
        "listing_id,photos\nA,{}\nB,{here}\nC,file://{here}\nD,../../secret.png\nE,\n",
        shop.url("/a.png")
    );
    let path = running.hand_in("text/csv", manifest.into_bytes()).await;
    let scan = running.ended(&path).await;
    assert_eq!(scan["summary"]["n_failed"], 4, "{scan}");
    let rows = running.rows(&path).await;
    assert_eq!(rows[0]["verdict"], "Flagged", "{}", rows[0]);
    for row in &rows[1..4] {
        let error = row["error"].as_str().expect("a reason");
        assert!(error.contains("in the archive"), "{error}");
    }
    assert_eq!(rows[4]["listing_id"], "source.csv line 6");
    let listings = json!({ "listings": [{ "listing_id": 7, "photos": [shop.url("/b.png")] }] });
    let listings = listings.to_string().into_bytes();
    let path = running.hand_in("application/json", listings).await;
    running.ended(&path).await;
    let rows = running.rows(&path).await;
    assert_eq!(
        (&rows[0]["listing_id"], &rows[0]["verdict"]),
        (&json!("7"), &json!("Flagged"))
    );
}

#[tokio::test]
async fn what_is_no_source_is_refused_and_leaves_nothing() {
    let service = Service::new();
    let many = json!({ "listings": [{ "photos": vec![0; 300_000] }] });
    let damaged = tar(&[("a.png", picture(STAR))])[..200].to_vec();
    for (kind, bytes, status) in [
        ("image/png", picture(STAR), 415),
        ("application/jsonl", Vec::new(), 422),
        ("application/zip", b"no zip".to_vec(), 422),
        (
            "application/x-tar",
            tar(&[("a.txt", b"text".to_vec())]),
            422,
        ),
        ("text/csv", b"a,b\n".to_vec(), 422),
        ("application/json", b"{\"listings\":7}".to_vec(), 422),
        ("application/json", b"{\"listings\":[7]}".to_vec(), 422),
        ("application/json", many.to_string().into_bytes(), 422),
    ] {
        let answer = service.call(handed_in(kind, bytes)).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}: {}", answer.text());
        assert!(!answer.text().contains("scan-"), "{}", answer.text());
    }
    let form = [("source", Some("photos.rar"), &damaged[..])];
    let answer = service.post_form("/v1/scans", &form).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let folder = service.engine.settings().home.join("scans");
    assert_eq!(fs::read_dir(folder).map_or(0, Iterator::count), 0);
    assert_eq!(service.get("/v1/scans").await.json()["scans"], json!([]));
    for gone in ["/v1/scans/1", "/v1/scans/x", "/v1/scans/1/result"] {
        assert_eq!(
            service.get(gone).await.status,
            StatusCode::NOT_FOUND,
            "{gone}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_waits_or_is_at_work_can_be_forgotten() {
    let gate = Arc::new(Gate::default());
    let running = Running::start(MoodyEmbedder::new(Mood::Gated(Arc::clone(&gate)))).await;
    let photos = tar(&[("a.png", picture(STAR)), ("b.png", picture(MOON))]);
    let at_work = running.hand_in("application/x-tar", photos.clone()).await;
    gate.wait_for(1);
    let form = [("source", Some("photos.tar"), &photos[..])];
    let waiting = running.service.post_form("/v1/scans", &form).await;
    let waiting = waiting.header("location").to_owned();
    assert_eq!(
        running.service.get(&waiting).await.json()["name"],
        "photos.tar"
    );
    let result = running.service.get(&format!("{waiting}/result")).await;
    assert_eq!(result.status, StatusCode::CONFLICT);
    for path in [&waiting, &at_work] {
        assert_eq!(
            running.service.delete(path).await.status,
            StatusCode::NO_CONTENT
        );
    }
    assert_eq!(running.n_folders(), 1);
    gate.open();
    let started = Instant::now();
    while running.n_folders() > 0 {
        assert!(started.elapsed() < PATIENCE, "its files stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_at_work_survives_another_server_that_starts_on_its_home() {
    let gate = Arc::new(Gate::default());
    let running = Running::start(MoodyEmbedder::new(Mood::Gated(Arc::clone(&gate)))).await;
    let photos = tar(&[("a.png", picture(STAR)), ("b.png", picture(MOON))]);
    let path = running.hand_in("application/x-tar", photos).await;
    gate.wait_for(1);
    let store = running.service.engine.store();
    store.requeue_scans().expect("written");
    assert_eq!(running.service.get(&path).await.json()["state"], "waiting");
    // Long enough for the next row to be noted.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    gate.open();
    let scan = running.ended(&path).await;
    assert_eq!(
        (&scan["state"], &scan["n_done"]),
        (&json!("done"), &json!(2)),
        "{scan}"
    );
    assert_eq!(running.rows(&path).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_during_a_scan_is_not_looked_for_in_the_rest_of_it() {
    let gate = Arc::new(Gate::default());
    let running = Running::start(MoodyEmbedder::new(Mood::Gated(Arc::clone(&gate)))).await;
    let photos = tar(&[("a.png", picture(STAR)), ("b.png", picture(MOON))]);
    let path = running.hand_in("application/x-tar", photos).await;
    gate.wait_for(1);
    let service = &running.service;
    service.register("Luna", "Moon", &picture(MOON)).await;
    // As every request does.
    service.engine.refresh().expect("up to date");
    gate.open();
    running.ended(&path).await;
    let rows = running.rows(&path).await;
    let verdicts: Vec<_> = rows.iter().map(|row| row["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("Flagged"), Some("Clear")]);
    assert_eq!(rows[0]["registry_revision"], rows[1]["registry_revision"]);
}

#[test]
fn a_killed_server_goes_on_with_its_scan() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let copy = fs::read(COPY).expect("a fixture");
    let names: Vec<String> = (0..12).map(|n| format!("L{n:02}.jpg")).collect();
    // Bytes of their own: none is answered for another.
    let photo = |name: &String| [&copy[..], name.as_bytes()].concat();
    let members: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), photo(name)))
        .collect();
    let listen = format!("127.0.0.1:{}", free_port());
    let url = |path: &str| format!("http://{listen}{path}");
    let mut server = Killable::start(&program, &listen, "127.0.0.1:1");
    let mut answer = ureq::post(url("/v1/scans"))
        .content_type("application/x-tar")
        .send(&tar(&members)[..])
        .expect("an answer");
    let scan: Value = answer.body_mut().read_json().expect("JSON");
    let path = format!("/v1/scans/{}", scan["id"]);
    let get = |path: &str| -> Option<Value> {
        let mut answer = ureq::get(url(path)).call().ok()?;
        answer.body_mut().read_json().ok()
    };
    let is_between = |scan: &Value| scan["n_done"].as_u64() > Some(0) && scan["state"] == "running";
    wait_for("the middle of the scan", || get(&path).filter(is_between));
    server.kill();
    drop(server);
    let _server = Killable::start(&program, &listen, "127.0.0.1:1");
    let scan = wait_for("the end of the scan", || {
        get(&path).filter(|scan| !scan["ended_at"].is_null())
    });
    assert_eq!(
        (&scan["state"], &scan["n_done"]),
        (&json!("done"), &json!(12)),
        "{scan}"
    );
    assert!(scan["summary"]["n_resumed"].as_u64() > Some(0), "{scan}");
    let mut result = ureq::get(url(&format!("{path}/result")))
        .call()
        .expect("results");
    let text = result.body_mut().read_to_string().expect("text");
    let found: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["photo"]
                .as_str()
                .expect("a name")
                .to_owned()
        })
        .collect();
    let expected: Vec<String> = names
        .iter()
        .map(|name| format!("source.tar/{name}"))
        .collect();
    assert_eq!(found, expected);
}
