//! The real server on a socket: slow, lying and vanishing clients, capacity, and the end.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::service::{
    Gate, MOON, Mood, MoodyEmbedder, STAR, Service, asset, base64, open, picture, png,
};
use touchstone::config::tenant_home;
use touchstone::domain::FileDigest;
use touchstone::embed::Embedder;
use touchstone::embed::fake::FakeEmbedder;
use touchstone::http::{EntranceSettings, ServeError, ServeLimits, serve};
use touchstone::store::{RememberedAnswer, Store};

/// Nothing here should take this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a thread of its own.
struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    fn start(embedder: impl Embedder + 'static, limits: ServeLimits) -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let service = Service::with(embedder, limits.clone());
            let runtime = Runtime::new().expect("a runtime");
            let served = runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                tell.send(address).expect("the test waits");
                let state = service.state(open(), limits);
                let shutdown = async {
                    let _ = stopped.await;
                };
                serve(listener, state, shutdown).await
            });
            runtime.shutdown_background();
            served
        });
        Self {
            address: told.recv().expect("an address"),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn fake(limits: ServeLimits) -> Self {
        Self::start(FakeEmbedder::default(), limits)
    }

    fn gated(limits: ServeLimits) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate::default());
        let mood = Mood::Gated(Arc::clone(&gate));
        (Self::start(MoodyEmbedder::new(mood), limits), gate)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends `request` as it is, and gives all that comes back until the connection is closed.
    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).expect("sent");
        rest_of(&mut stream)
    }

    fn is_alive(&self) -> bool {
        let answer =
            self.exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        answer.starts_with("HTTP/1.1 200")
    }

    fn begin_to_stop(&mut self) {
        self.stop
            .take()
            .expect("stopped once")
            .send(())
            .expect("it runs");
    }

    fn wait_for_the_end(&mut self) {
        let thread = self.thread.take().expect("waited for once");
        thread.join().expect("no panic").expect("a good end");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too; what came before it counts.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn match_request(photo: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/match HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: image/png\r\n\
         Content-Length: {}\r\n\r\n",
        photo.len()
    )
    .into_bytes();
    request.extend(photo);
    request
}

fn status_of(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[test]
fn a_client_registers_matches_and_removes() {
    let server = Server::fake(ServeLimits::default());
    let client = ureq::Agent::new_with_defaults();
    let mut registered = client
        .post(server.url("/v1/assets"))
        .send_json(asset("Acme", "Star", &[&picture(STAR)]))
        .expect("registered");
    assert_eq!(registered.status(), 201);
    let location = registered.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned();
    let registered: Value = registered.body_mut().read_json().expect("JSON");
    assert_eq!(location, format!("/v1/assets/{}", registered["asset_id"]));
    let verdict = || -> Value {
        let sent = json!({ "base64": base64(&picture(STAR)) });
        let mut answer = client
            .post(server.url("/v1/match"))
            .send_json(sent)
            .expect("matched");
        answer.body_mut().read_json().expect("JSON")
    };
    assert_eq!(verdict()["findings"][0]["brand"], "Acme");
    let removed = client
        .delete(server.url(&location))
        .call()
        .expect("removed");
    assert_eq!(removed.status(), 204);
    assert_eq!(verdict()["findings"], json!([]));
}

#[test]
fn a_running_server_looks_back_by_itself() {
    let server = Server::fake(ServeLimits::default());
    let client = ureq::Agent::new_with_defaults();
    let listing = json!({ "listing_id": "L1", "photos": [{ "base64": base64(&picture(STAR)) }] });
    let mut screened = client
        .post(server.url("/v1/screen"))
        .send_json(listing)
        .expect("screened");
    let screened: Value = screened.body_mut().read_json().expect("JSON");
    assert_eq!(screened["decision"], "allow", "{screened}");
    client
        .post(server.url("/v1/assets"))
        .send_json(asset("Acme", "Star", &[&picture(STAR)]))
        .expect("registered");
    let started = Instant::now();
    loop {
        let mut found = client
            .get(server.url("/v1/findings?status=open"))
            .call()
            .expect("a list");
        let found: Value = found.body_mut().read_json().expect("JSON");
        if found["findings"][0]["source"] == "look_back" {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "nothing found: {found}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn heads_that_come_slowly_are_cut_off() {
    let server = Server::fake(ServeLimits {
        header_timeout: Duration::from_millis(300),
        ..ServeLimits::default()
    });
    for begun in [
        &b""[..],
        b"G",
        b"PRI * HT",
        b"GET /healthz HTTP/1.1\r\nHost: loc",
    ] {
        let mut stream = server.connect();
        stream.write_all(begun).expect("sent");
        let started = Instant::now();
        rest_of(&mut stream);
        assert!(started.elapsed() < PATIENCE, "{begun:?} was let wait");
    }
    // A byte now and then does not help.
    let mut stream = server.connect();
    let started = Instant::now();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        .iter()
        .cycle()
    {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "a byte a time was let wait");
        thread::sleep(Duration::from_millis(30));
    }
    // Nor does an answered request before.
    let mut stream = server.connect();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    let started = Instant::now();
    assert_eq!(status_of(&rest_of(&mut stream)), "200");
    assert!(started.elapsed() < PATIENCE, "an idle connection was kept");
    assert!(server.is_alive());
}

#[test]
fn bodies_that_come_slowly_are_cut_off() {
    let server = Server::fake(ServeLimits {
        request_timeout: Duration::from_millis(300),
        ..ServeLimits::default()
    });
    let photo = picture(STAR);
    let request = match_request(&photo);
    let answer = server.exchange(&request[..request.len() - 1]);
    assert_eq!(status_of(&answer), "408", "{answer}");
    assert!(answer.contains("too-slow"), "{answer}");
    assert!(server.is_alive());
}

#[test]
fn slow_sign_ins_keep_nobody_else_out() {
    let server = Server::fake(ServeLimits {
        max_requests: 1,
        ..ServeLimits::default()
    });
    let head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n";
    let slow: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            let expecting = format!("{head}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n");
            stream.write_all(expecting.as_bytes()).expect("sent");
            // Said when the body is waited for.
            let mut told = [0; 25];
            stream.read_exact(&mut told).expect("an interim answer");
            assert_eq!(&told[..], b"HTTP/1.1 100 Continue\r\n\r\n");
            stream
        })
        .collect();
    let list = b"GET /v1/brands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(list);
    assert_eq!(status_of(&answer), "200", "{answer}");
    let quick = format!("{head}Content-Length: 10\r\n\r\nkey=ts_abc");
    let answer = server.exchange(quick.as_bytes());
    assert_eq!(status_of(&answer), "401", "{answer}");
    drop(slow);
}

#[test]
fn a_deed_is_not_done_again_for_a_client_that_hung_up() {
    let (server, gate) = Server::gated(ServeLimits::default());
    let listing = json!({ "listing_id": "L1", "photos": [{ "base64": base64(&picture(MOON)) }] });
    let listing = listing.to_string();
    let request = format!(
        "POST /v1/screen HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nIdempotency-Key: k1\r\nContent-Length: {}\r\n\r\n{listing}",
        listing.len()
    );
    let mut gone = server.connect();
    gone.write_all(request.as_bytes()).expect("sent");
    gate.wait_for(1);
    gone.shutdown(Shutdown::Write).expect("hung up");
    // The server has noticed when it hangs up too.
    assert_eq!(gone.read(&mut [0]).expect("no answer"), 0);
    let meanwhile = server.exchange(request.as_bytes());
    assert_eq!(status_of(&meanwhile), "409", "{meanwhile}");
    gate.open();
    let started = Instant::now();
    let again = loop {
        let answer = server.exchange(request.as_bytes());
        if status_of(&answer) != "409" {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "{answer}");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status_of(&again), "200", "{again}");
    assert!(again.contains("idempotency-replayed: true"), "{again}");
}

#[test]
fn bodies_that_are_too_large_are_refused_before_they_come() {
    let server = Server::fake(ServeLimits {
        max_body_bytes: 1000,
        ..ServeLimits::default()
    });
    let head = "POST /v1/match HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n";
    let announced = format!("{head}Content-Length: 99999999999\r\n\r\n");
    let answer = server.exchange(announced.as_bytes());
    assert_eq!(status_of(&answer), "413", "{answer}");
    let expecting = format!("{head}Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    let answer = server.exchange(expecting.as_bytes());
    assert_eq!(status_of(&answer), "413", "{answer}");
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n",
        "x".repeat(1024)
    );
    let answer = server.exchange(chunked.as_bytes());
    assert_eq!(status_of(&answer), "413", "{answer}");
    assert!(server.is_alive());
}

#[test]
fn clients_that_read_only_after_sending_are_told_why_they_were_refused() {
    let server = Server::fake(ServeLimits {
        max_body_bytes: 1000,
        ..ServeLimits::default()
    });
    let large = match_request(&vec![b'x'; 20 << 20]);
    for _ in 0..5 {
        let mut stream = server.connect();
        stream.write_all(&large).expect("all is taken");
        // Time for a reset to arrive, if there is one.
        thread::sleep(Duration::from_millis(20));
        let answer = rest_of(&mut stream);
        assert_eq!(status_of(&answer), "413", "{answer}");
    }
}

#[test]
fn what_is_no_request_harms_nobody() {
    let server = Server::fake(ServeLimits {
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(300),
        ..ServeLimits::default()
    });
    let endless_head = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'x'; 400_000]].concat();
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let bad_chunk =
        b"POST /v1/match HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; \
        boundary=x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n";
    let two_lengths = b"POST /v1/match HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
        Content-Length: 2\r\n\r\nab";
    for request in [
        &b"\0\x01\x02\x03\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        &endless_head,
        many_headers.as_bytes(),
        bad_chunk,
        two_lengths,
    ] {
        let mut stream = server.connect();
        // The server may close before it has taken all of it.
        let _ = stream.write_all(request);
        let answer = rest_of(&mut stream);
        assert!(
            answer.is_empty() || status_of(&answer).starts_with('4'),
            "{answer}"
        );
    }
    // Clients that go away in the middle.
    for length in [10, 150, 200] {
        let request = match_request(&picture(STAR));
        server
            .connect()
            .write_all(&request[..length])
            .expect("sent");
    }
    assert!(server.is_alive());
}

#[test]
fn requests_beyond_capacity_are_turned_away_at_once() {
    let (server, gate) = Server::gated(ServeLimits {
        max_requests: 2,
        ..ServeLimits::default()
    });
    let request = match_request(&picture(MOON));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..4 {
            let tell = tell.clone();
            let (server, request) = (&server, &request);
            scope.spawn(move || tell.send(server.exchange(request)).expect("the test waits"));
        }
        // One is worked on, one waits for it, whichever came first; nothing is done before the gate
        // opens, so that the two answers until then are the refusals.
        gate.wait_for(1);
        for _ in 0..2 {
            let answer = told.recv_timeout(PATIENCE).expect("a refusal at once");
            assert_eq!(status_of(&answer), "503", "{answer}");
            assert!(answer.contains("retry-after: "), "{answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
        assert!(server.is_alive(), "a busy server is not a dead one");
        gate.open();
        for _ in 0..2 {
            let answer = told.recv_timeout(PATIENCE).expect("an answer");
            assert_eq!(status_of(&answer), "200", "{answer}");
        }
    });
    let answer = server.exchange(&request);
    assert_eq!(status_of(&answer), "200", "room again: {answer}");
}

#[test]
fn connections_beyond_the_cap_wait_for_room() {
    let server = Server::fake(ServeLimits {
        max_connections: 1,
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    });
    let idle = server.connect();
    // Served once the idle one is cut off.
    assert!(server.is_alive());
    drop(idle);
}

#[test]
fn clients_that_do_not_read_are_cut_off() {
    let server = Server::fake(ServeLimits {
        max_connections: 1,
        write_timeout: Duration::from_millis(300),
        ..ServeLimits::default()
    });
    let client = ureq::Agent::config_builder()
        .max_idle_connections(0)
        .build()
        .new_agent();
    let noise = RgbImage::from_fn(600, 600, |x, y| {
        let n = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        Rgb([(n >> 8) as u8, (n >> 16) as u8, (n >> 24) as u8])
    });
    let mut registered = client
        .post(server.url("/v1/assets"))
        .send_json(asset("Acme", "Noise", &[&png(&noise)]))
        .expect("registered");
    let registered: Value = registered.body_mut().read_json().expect("JSON");
    let file = format!(
        "GET /v1/assets/{}/images/{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        registered["asset_id"], registered["added"][0]
    );
    let mut deaf = server.connect();
    deaf.write_all(file.repeat(60).as_bytes()).expect("sent");
    let started = Instant::now();
    assert!(
        server.is_alive(),
        "the only connection is given to the next"
    );
    assert!(started.elapsed() < PATIENCE);
    drop(deaf);
}

#[test]
fn stopping_lets_the_request_in_progress_finish() {
    let (mut server, gate) = Server::gated(ServeLimits::default());
    let mut stream = server.connect();
    let idle = server.connect();
    stream
        .write_all(&match_request(&picture(MOON)))
        .expect("sent");
    gate.wait_for(1);
    server.begin_to_stop();
    let started = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "still takes connections");
        thread::sleep(Duration::from_millis(10));
    }
    gate.open();
    let answer = rest_of(&mut stream);
    assert_eq!(status_of(&answer), "200", "{answer}");
    assert!(answer.contains("\"verdict\":\"Clear\""), "{answer}");
    drop(idle);
    server.wait_for_the_end();
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let (mut server, gate) = Server::gated(ServeLimits {
        drain_timeout: Duration::from_millis(200),
        ..ServeLimits::default()
    });
    let mut stream = server.connect();
    stream
        .write_all(&match_request(&picture(MOON)))
        .expect("sent");
    gate.wait_for(1);
    server.begin_to_stop();
    let started = Instant::now();
    server.wait_for_the_end();
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(rest_of(&mut stream), "", "cut off without an answer");
    gate.open();
}

/// A tenant's home with an answer that has been remembered for too long; gives its database.
fn home_with_an_old_answer(service: &Service, tenant: &str) -> PathBuf {
    let tenant = tenant.parse().expect("a name");
    let home = tenant_home(&service.engine.settings().home, &tenant);
    let store = Store::open(&home).expect("a store");
    let answer = RememberedAnswer {
        request: FileDigest::of(b""),
        status: 200,
        headers: Vec::new(),
        body: Vec::new(),
    };
    store.remember_answer("", "old", &answer).expect("kept");
    let database = rusqlite::Connection::open(store.path()).expect("a database");
    let age = "UPDATE remembered_answers SET created_at = '2020-01-01T00:00:00Z'";
    assert_eq!(database.execute(age, []).expect("aged"), 1);
    store.path().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_past_its_time_is_forgotten_for_more_tenants_than_are_kept_open() {
    let service = Service::new();
    let databases: Vec<PathBuf> = (0..36)
        .map(|n| home_with_an_old_answer(&service, &format!("t{n}")))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let state = service.state(open(), ServeLimits::default());
    let (_stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(listener, state, async {
        let _ = stopped.await;
    }));
    let n_kept = |path: &PathBuf| -> i64 {
        let database = rusqlite::Connection::open(path).expect("a database");
        let count = "SELECT COUNT(*) FROM remembered_answers";
        let count = database.query_row(count, [], |row| row.get(0));
        count.expect("a count")
    };
    let started = Instant::now();
    for path in &databases {
        while n_kept(path) > 0 {
            assert!(started.elapsed() < 6 * PATIENCE, "{}", path.display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn other_machines_are_listened_to_only_when_keys_are_asked_for() {
    let service = Service::new();
    for (is_open, is_served) in [(true, false), (false, true)] {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let settings = EntranceSettings {
            is_open,
            ..EntranceSettings::default()
        };
        let state = service.state(settings, ServeLimits::default());
        let served = serve(listener, state, std::future::ready(())).await;
        assert_eq!(served.is_ok(), is_served);
    }
}
