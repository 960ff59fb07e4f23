//! Webhooks: who makes them, what receivers get, and that nothing is lost.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::service::{STAR, Service, base64, open, picture};
use crate::cli::{COPY, PACK, Program};
use crate::fetch::server::{Reply, Request, Server, answer, ok};
use touchstone::domain::Role;
use touchstone::fetch::{FetchPolicy, Fetcher};
use touchstone::http::{EntranceSettings, ServeLimits, serve};

/// Nothing here should take this long.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} never came");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a request was signed with this secret.
fn is_signed(request: &Request, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for line in request.head.lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ") {
            let name: HeaderName = name.parse().expect("a name");
            headers.insert(name, value.parse().expect("a value"));
        }
    }
    let checker = Webhook::new(secret).expect("a secret");
    checker.verify(&request.body, &headers).is_ok()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let mut lines = request
        .head
        .lines()
        .filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| *found == name).expect(name).1
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

#[tokio::test]
async fn operators_make_webhooks_and_secrets_are_shown_once() {
    let service = Service::new();
    let new = json!({ "url": "https://shop.example/hook", "events": ["finding.created"],
        "description": "the shop" });
    let made = service.post_json("/v1/webhooks", &new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    let secret = made["secret"].as_str().expect("a secret");
    assert!(Webhook::new(secret).is_ok(), "{secret}");
    let path = format!("/v1/webhooks/{}", made["id"].as_str().expect("an id"));
    let rotated = service
        .post_json(&format!("{path}/rotate"), &json!({}))
        .await;
    let rotated = rotated.json();
    assert_ne!(rotated["secret"], made["secret"]);
    let off = json!({ "enabled": false, "events": [] });
    let changed = service
        .call(super::service::json_to("PATCH", &path, &off))
        .await;
    assert_eq!(changed.json()["enabled"], false, "{}", changed.text());
    let list = service.get("/v1/webhooks").await;
    assert!(!list.text().contains("whsec_"), "{}", list.text());
    assert_eq!(list.json()["webhooks"][0], changed.json());
    let deliveries = service.get(&format!("{path}/deliveries")).await.json();
    assert_eq!(deliveries, json!({ "deliveries": [], "next": null }));
    assert_eq!(service.delete(&path).await.status, StatusCode::NO_CONTENT);
    for gone in [
        path.as_str(),
        "/v1/webhooks/wh_000000000000",
        "/v1/webhooks/x",
    ] {
        assert_eq!(
            service.get(gone).await.status,
            StatusCode::NOT_FOUND,
            "{gone}"
        );
    }
    let log = service.get("/v1/audit").await.json();
    assert_eq!(log["entries"][0]["action"], "webhook_removed");
    assert!(!log.to_string().contains("whsec_"));
}

#[tokio::test]
async fn bad_webhooks_are_refused_with_a_reason() {
    let service = Service::new();
    for (new, part) in [
        (json!({ "url": "file:///etc/passwd" }), "file: addresses"),
        (
            json!({ "url": "https://a:b@shop.example/" }),
            "user or password",
        ),
        (
            json!({ "url": "http://127.0.0.1:9000/" }),
            "public internet",
        ),
        (
            json!({ "url": "http://[::ffff:10.0.0.1]/" }),
            "public internet",
        ),
        (json!({ "url": "shop.example" }), "no URL"),
        (
            json!({ "url": "https://shop.example/", "events": ["x"] }),
            "unknown variant",
        ),
        (
            json!({ "url": "https://shop.example/", "colour": 1 }),
            "unknown field",
        ),
        (json!({ "events": [] }), "missing field"),
        (
            json!({ "url": "https://shop.example/", "description": "a".repeat(501) }),
            "501 characters",
        ),
    ] {
        let refused = service.post_json("/v1/webhooks", &new).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{new}");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(
        service.get("/v1/webhooks").await.json()["webhooks"],
        json!([])
    );
}

#[tokio::test]
async fn only_operators_see_webhooks() {
    let service = Service::guarded(EntranceSettings::default());
    for role in Role::ALL {
        let mut request = super::service::to("GET", "/v1/webhooks", axum::body::Body::empty());
        let bearer = format!("Bearer {}", service.key(*role));
        request
            .headers_mut()
            .insert("authorization", bearer.parse().expect("a header"));
        let status = service.call(request).await.status;
        let expected = match role {
            Role::Operator => StatusCode::OK,
            _ => StatusCode::FORBIDDEN,
        };
        assert_eq!(status, expected, "{role}");
    }
}

/// A server with a mark registered, in this process, until it is dropped.
struct Running {
    service: Service,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn start(rules: &[&str]) -> Self {
        let service = Service::new();
        service.register("Acme", "Star", &picture(STAR)).await;
        let policy = FetchPolicy {
            allow: rules.iter().map(|rule| rule.parse().expect(rule)).collect(),
            ..FetchPolicy::default()
        };
        let teller = Arc::new(Fetcher::new(policy));
        let state = service.state(open(), ServeLimits::default());
        // The router that tests call is told to check addresses as the server does.
        let service = service.telling(Arc::clone(&teller));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, state.telling_by(teller), async {
            let _ = stopped.await;
        }));
        Self {
            service,
            _stop: stop,
        }
    }

    /// Makes a webhook; gives its path and its secret.
    async fn webhook(&self, url: &str) -> (String, String) {
        let made = self
            .service
            .post_json("/v1/webhooks", &json!({ "url": url }))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        let made = made.json();
        let text = |field: &str| made[field].as_str().expect("text").to_owned();
        (format!("/v1/webhooks/{}", text("id")), text("secret"))
    }

    async fn find(&self) -> i64 {
        let listing = json!({ "listing_id": "L1",
            "photos": [{ "name": "a.png", "base64": base64(&picture(STAR)) }] });
        let screened = self.service.post_json("/v1/screen", &listing).await.json();
        screened["photos"][0]["findings"][0]["id"]
            .as_i64()
            .expect("a finding")
    }

    /// The deliveries to a webhook when `is_done` says so of them, newest first.
    async fn deliveries(&self, path: &str, is_done: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let page = self.service.get(&format!("{path}/deliveries")).await.json();
            if is_done(&page["deliveries"]) {
                return page["deliveries"].clone();
            }
            assert!(started.elapsed() < PATIENCE, "{page}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_fail_are_told_again_and_everything_is_signed() {
    let receiver = Server::on("127.0.0.1", |_, n| match n {
        0 => Reply::Raw(answer("500 Internal Server Error", "", b"oops")),
        1 => Reply::Raw(Vec::new()),
        _ => ok(b""),
    });
    let running = Running::start(&["127.0.0.1:*"]).await;
    let (path, secret) = running.webhook(&receiver.url("/hook")).await;
    let id = running.find().await;
    let told = running
        .deliveries(&path, |all| all[0]["state"] == "delivered")
        .await;
    let tries = told[0]["tries"].as_array().expect("a list");
    let statuses: Vec<_> = tries.iter().map(|one| one["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(500), None, Some(200)], "{told}");
    assert!(tries[2]["elapsed_ms"].as_f64() > Some(0.0) && tries[2]["error"].is_null());
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(request.head.starts_with("POST /hook "), "{}", request.head);
        assert!(is_signed(request, &secret), "{}", request.head);
        assert_eq!(header(request, "webhook-id"), told[0]["message_id"]);
        assert_eq!(body(request)["data"]["finding_id"], id);
    }
    // Another secret or another body is noticed.
    assert!(!is_signed(
        &requests[0],
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    ));
    let forged = Request {
        body: [&requests[0].body[..], b" "].concat(),
        ..requests[0].clone()
    };
    assert!(!is_signed(&forged, &secret));

    let rotated = running
        .service
        .post_json(&format!("{path}/rotate"), &json!({}))
        .await;
    let rotated = rotated.json()["secret"]
        .as_str()
        .expect("a secret")
        .to_owned();
    let decision = json!({ "decision": "confirmed", "reason": "a copy" });
    let decided = running
        .service
        .post_json(&format!("/v1/findings/{id}/decision"), &decision)
        .await;
    assert!(decided.status.is_success(), "{}", decided.text());
    running
        .deliveries(&path, |all| {
            all[0]["event"] == "finding.decided" && all[0]["state"] == "delivered"
        })
        .await;
    let last = receiver.requests().pop().expect("a request");
    assert_eq!(body(&last)["data"]["decision"], "confirmed");
    assert!(is_signed(&last, &secret) && is_signed(&last, &rotated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_at_a_private_address_is_told_nothing() {
    let receiver = Server::on("127.0.0.1", |_, _| ok(b""));
    let running = Running::start(&[]).await;
    let url = format!("http://localhost:{}/hook", receiver.address.port());
    let (path, _) = running.webhook(&url).await;
    running.find().await;
    let told = running
        .deliveries(&path, |all| all[0]["n_tries"].as_u64() > Some(0))
        .await;
    let error = told[0]["tries"][0]["error"].as_str().expect("a reason");
    assert!(error.contains("public internet"), "{error}");
    assert_eq!(receiver.n_requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_up_no_other_and_one_that_is_gone_is_disabled() {
    let hanging = Server::on("127.0.0.1", |_, _| {
        Reply::After(Duration::from_secs(60), Vec::new())
    });
    let taking = Server::on("127.0.0.1", |_, _| ok(b""));
    let gone = Server::on("127.0.0.1", |_, _| Reply::Raw(answer("410 Gone", "", b"")));
    let running = Running::start(&["127.0.0.1:*"]).await;
    running.webhook(&hanging.url("/")).await;
    let (path, _) = running.webhook(&taking.url("/")).await;
    let (gone_path, _) = running.webhook(&gone.url("/")).await;
    running.find().await;
    running
        .deliveries(&path, |all| all[0]["state"] == "delivered")
        .await;
    running
        .deliveries(&gone_path, |all| all[0]["state"] == "failed")
        .await;
    let webhook = running.service.get(&gone_path).await.json();
    assert_eq!(webhook["enabled"], false);
    let reason = webhook["disabled_reason"].as_str().expect("a reason");
    assert!(reason.contains("410"), "{reason}");
}

/// `touchstone serve` without keys, until this is dropped.
pub struct Killable(Child);

impl Killable {
    pub fn start(program: &Program, listen: &str, allow: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_touchstone"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TOUCHSTONE_HOME", program.path("home"))
            .args([
                "serve",
                "--open",
                "--listen",
                listen,
                "--fetch-allow",
                allow,
                "--timeout-s",
                "300",
            ])
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let served = Self(child);
        wait_for("the server", || {
            ureq::get(format!("http://{listen}/readyz")).call().ok()
        });
        served
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn post(listen: &str, path: &str, body: &Value) -> Value {
    let mut answer = ureq::post(format!("http://{listen}{path}"))
        .send_json(body)
        .expect("an answer");
    answer.body_mut().read_json().expect("JSON")
}

#[test]
fn scans_of_the_command_line_are_told_when_they_end() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    let receiver = Server::on("127.0.0.1", |_, _| ok(b""));
    let listen = format!("127.0.0.1:{}", free_port());
    let allow = format!("127.0.0.1:{}", receiver.address.port());
    let _server = Killable::start(&program, &listen, &allow);
    let new = json!({ "url": receiver.url("/hook"), "events": ["scan.finished"] });
    post(&listen, "/v1/webhooks", &new);
    let out = program.path("out.jsonl").display().to_string();
    let scan = ["scan", COPY, "--out", &out, "--stages", "whole"];
    let scanned = program.run(&scan);
    assert!(scanned.code() < 2, "{}", scanned.stderr());
    let requests = wait_for("the end of the scan", || {
        Some(receiver.requests()).filter(|requests| !requests.is_empty())
    });
    let told = body(&requests[0]);
    assert_eq!(told["type"], "scan.finished");
    assert_eq!(told["data"]["source"], COPY);
    assert_eq!(told["data"]["n_photos"], 1);
}

#[test]
fn a_kill_between_finding_and_telling_loses_nothing() {
    let program = Program::new();
    program.done(&["register", PACK, "--brand", "Oatly", "--kind", "packaging"]);
    // Takes nothing before the server is killed.
    let receiver = Server::on("127.0.0.1", |_, n| match n {
        0 => Reply::After(Duration::from_secs(300), Vec::new()),
        _ => ok(b""),
    });
    let listen = format!("127.0.0.1:{}", free_port());
    let allow = format!("127.0.0.1:{}", receiver.address.port());
    let mut server = Killable::start(&program, &listen, &allow);
    let new = json!({ "url": receiver.url("/hook") });
    let made = post(&listen, "/v1/webhooks", &new);
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let photo = base64(&std::fs::read(COPY).expect("a fixture"));
    let sent = json!({ "base64": photo });
    let matched = post(&listen, "/v1/match?keep=findings", &sent);
    let id = matched["findings"][0]["id"].as_i64().expect("a finding");
    wait_for("the first try", || {
        (receiver.n_requests() == 1).then_some(())
    });
    server.kill();
    drop(server);
    let _server = Killable::start(&program, &listen, &allow);
    let requests = wait_for("the second try", || {
        Some(receiver.requests()).filter(|requests| requests.len() >= 2)
    });
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(
        header(&requests[0], "webhook-id"),
        header(&requests[1], "webhook-id")
    );
    assert_eq!(body(&requests[1])["data"]["finding_id"], id);
    assert!(is_signed(&requests[1], &secret));
}
