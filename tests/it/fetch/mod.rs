//! The fetcher against real servers: what it fetches, and what it cannot be talked into.

pub mod server;
mod tls;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hyper::header::HeaderMap;

use touchstone::fetch::{
    BlockingFetcher, FetchError, FetchLimits, FetchPolicy, Fetched, Fetcher, Later, Object, Resolve,
};

use self::server::{Reply, Server, answer, ok, redirect};

/// Gives a name's addresses in turn, a list for each time that it is asked; the last one for ever.
#[derive(Default)]
struct ScriptedResolver {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    n_asked: Mutex<usize>,
}

impl ScriptedResolver {
    fn of(host: &str, answers: &[&[&str]]) -> Arc<Self> {
        let address = |text: &&str| text.parse().expect("an address");
        let answers = answers
            .iter()
            .map(|list| list.iter().map(address).collect());
        let answers = HashMap::from([(host.to_owned(), answers.collect())]);
        Arc::new(Self {
            answers: Mutex::new(answers),
            n_asked: Mutex::default(),
        })
    }

    fn n_asked(&self) -> usize {
        *self.n_asked.lock().expect("no panic")
    }
}

impl Resolve for ScriptedResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Later<'a, io::Result<Vec<IpAddr>>> {
        *self.n_asked.lock().expect("no panic") += 1;
        let mut answers = self.answers.lock().expect("no panic");
        let found = answers.get_mut(host).map(|list| match list.len() {
            1 => list[0].clone(),
            _ => list.remove(0),
        });
        let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Box::pin(async move { found })
    }
}

fn limits() -> FetchLimits {
    FetchLimits {
        max_bytes: 1000,
        total: Duration::from_secs(10),
        idle: Duration::from_millis(300),
        connect: Duration::from_secs(5),
        ..FetchLimits::default()
    }
}

fn policy(rules: &[&str]) -> FetchPolicy {
    FetchPolicy {
        allow: rules.iter().map(|rule| rule.parse().expect(rule)).collect(),
        limits: limits(),
        ..FetchPolicy::default()
    }
}

fn get_with(policy: FetchPolicy, url: &str) -> Result<Vec<u8>, FetchError> {
    let fetcher = BlockingFetcher::new(Fetcher::new(policy)).expect("a thread");
    fetcher.get(url)
}

/// Fetches where this machine's own addresses may be reached.
fn get(url: &str) -> Result<Vec<u8>, FetchError> {
    get_with(policy(&["127.0.0.1:*"]), url)
}

#[test]
fn bytes_come_back_however_they_are_framed() {
    let server = Server::on("127.0.0.1", |path, _| {
        match path {
        "/chunked" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                .to_vec(),
        ),
        "/until-closed" => Reply::Raw(b"HTTP/1.0 200 OK\r\n\r\nabcde".to_vec()),
        "/with?a=b%20c" => ok(b"abcde"),
        _ => Reply::Raw(answer("404 Not Found", "", b"no such thing")),
    }
    });
    for path in ["/chunked", "/until-closed", "/with?a=b%20c#part"] {
        let bytes = get(&server.url(path)).expect(path);
        assert_eq!(bytes, b"abcde", "{path}");
    }
    let error = get(&server.url("/absent")).expect_err("absent");
    assert!(
        matches!(error, FetchError::Status { status: 404, .. }),
        "{error}"
    );
    let head = &server.requests()[0].head;
    assert!(head.contains("user-agent: touchstone/"), "{head}");
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(
        !head.contains("cookie") && !head.contains("authorization"),
        "{head}"
    );
}

#[test]
fn what_is_there_still_is_not_sent_again() {
    let server = Server::on("127.0.0.1", |path, _| match path {
        "/weak" => Reply::Raw(answer("200 OK", "ETag: W/\"a\"\r\n", b"abc")),
        "/first" => Reply::Raw(answer("200 OK", "ETag: \"a\"\r\n", b"abc")),
        _ => Reply::Raw(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec()),
    });
    let fetcher = BlockingFetcher::new(Fetcher::new(policy(&["127.0.0.1:*"]))).expect("a thread");
    let get = |path: &str, etag: Option<&str>| {
        let coming = fetcher.start(&server.url(path), etag);
        coming.recv().expect("every fetch ends")
    };
    let object = |etag: Option<&str>| {
        Fetched::New(Object {
            bytes: b"abc".to_vec(),
            etag: etag.map(str::to_owned),
        })
    };
    assert_eq!(get("/first", None).expect("there"), object(Some("\"a\"")));
    // Those that may be of other bytes, too, are not kept.
    assert_eq!(get("/weak", None).expect("there"), object(None));
    let again = get("/again", Some("\"a\"")).expect("there");
    assert_eq!(again, Fetched::Unchanged);
    let heads: Vec<_> = server.requests().into_iter().map(|r| r.head).collect();
    assert!(!heads[0].contains("if-none-match"), "{}", heads[0]);
    assert!(heads[2].contains("if-none-match: \"a\""), "{}", heads[2]);
    // Nobody asked whether it has changed.
    let error = get("/again", None).expect_err("no bytes");
    assert!(
        matches!(error, FetchError::Status { status: 304, .. }),
        "{error}"
    );
}

#[test]
fn redirects_are_followed_and_each_is_checked() {
    let inner = Server::on("127.0.0.2", |_, _| ok(b"secret"));
    let secret = inner.url("/");
    let port = inner.address.port();
    let server = Server::on("127.0.0.1", move |path, _| match path {
        "/relative" => redirect("photos/../a.jpg"),
        "/a.jpg" => ok(b"photo"),
        "/inside" => redirect(&secret),
        "/inside-mapped" => redirect(&format!("http://[::ffff:7f00:2]:{port}/")),
        "/inside-decimal" => redirect(&format!("http://2130706434:{port}/")),
        "/scheme-relative" => redirect(&format!("//127.0.0.2:{port}/")),
        "/file" => redirect("file:///etc/passwd"),
        "/credentials" => redirect(&format!("http://a:b@127.0.0.1:{port}/")),
        "/nowhere" => Reply::Raw(answer("302 Found", "", b"")),
        "/no-url" => redirect("http://["),
        "/round" => redirect("/round"),
        _ => Reply::Raw(answer("404 Not Found", "", b"")),
    });
    let get = |path: &str| get(&server.url(path));
    assert_eq!(get("/relative").expect("followed"), b"photo");
    for path in [
        "/inside",
        "/inside-mapped",
        "/inside-decimal",
        "/scheme-relative",
    ] {
        let error = get(path).expect_err(path);
        assert!(
            matches!(error, FetchError::NotPublic { .. }),
            "{path}: {error}"
        );
    }
    assert_eq!(inner.n_requests(), 0, "the inner server was reached");
    assert!(matches!(get("/file"), Err(FetchError::Scheme { .. })));
    assert!(matches!(get("/credentials"), Err(FetchError::Credentials)));
    assert!(matches!(
        get("/nowhere"),
        Err(FetchError::BadRedirect { .. })
    ));
    assert!(matches!(
        get("/no-url"),
        Err(FetchError::BadRedirect { .. })
    ));
    let before = server.n_requests();
    let error = get("/round").expect_err("endless");
    assert!(
        matches!(error, FetchError::TooManyRedirects { limit: 5 }),
        "{error}"
    );
    assert_eq!(server.n_requests() - before, 6);
}

#[test]
fn this_machine_and_its_neighbours_are_out_of_reach_by_default() {
    let server = Server::on("127.0.0.1", |_, _| ok(b"secret"));
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let error = get_with(policy(&[]), &url).expect_err(host);
        assert!(
            matches!(error, FetchError::NotPublic { .. }),
            "{url}: {error}"
        );
    }
    assert_eq!(server.n_requests(), 0);
}

#[test]
fn a_name_that_turns_inwards_is_not_followed() {
    let outer = Server::on("127.0.0.3", |path, n| match (path, n) {
        ("/a", _) => ok(b"photo"),
        (_, _) => redirect("/a"),
    });
    // On the same port, so that nothing but the address differs.
    let port = outer.address.port();
    let listener = std::net::TcpListener::bind(("127.0.0.4", port)).expect("the same port");
    listener.set_nonblocking(true).expect("a socket");
    let resolver = ScriptedResolver::of("shop.example", &[&["127.0.0.3"], &["127.0.0.4"]]);
    let fetcher = Fetcher::with(
        policy(&["127.0.0.3:*"]),
        Arc::clone(&resolver) as Arc<dyn Resolve>,
        &[],
    );
    let fetcher = BlockingFetcher::new(fetcher).expect("a thread");
    // Each connection asks the resolver once and uses what it checked: there is no second answer to use.
    let first = fetcher.get(&format!("http://shop.example:{port}/a"));
    assert_eq!(first.expect("outside"), b"photo");
    assert_eq!(resolver.n_asked(), 1);
    let second = fetcher.get(&format!("http://shop.example:{port}/a"));
    let error = second.expect_err("inside now");
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error}");
    assert_eq!(resolver.n_asked(), 2);
    let connected = listener.accept().map(|_| ());
    assert_eq!(
        connected.expect_err("nobody").kind(),
        io::ErrorKind::WouldBlock
    );
}

#[test]
fn a_redirect_to_a_name_that_turned_inwards_is_not_followed() {
    let outer = Server::on("127.0.0.3", |_, _| redirect("/again"));
    let port = outer.address.port();
    let resolver = ScriptedResolver::of("shop.example", &[&["127.0.0.3"], &["127.0.0.1"]]);
    let fetcher = Fetcher::with(policy(&["127.0.0.3:*"]), resolver, &[]);
    let fetcher = BlockingFetcher::new(fetcher).expect("a thread");
    let error = fetcher.get(&format!("http://shop.example:{port}/"));
    assert!(
        matches!(error, Err(FetchError::NotPublic { .. })),
        "{error:?}"
    );
    assert_eq!(outer.n_requests(), 1);
}

#[test]
fn of_several_addresses_only_good_ones_are_tried() {
    let server = Server::on("127.0.0.3", |_, _| ok(b"photo"));
    let port = server.address.port();
    let fetcher = |answers: &[&[&str]]| {
        let resolver = ScriptedResolver::of("shop.example", answers);
        let fetcher = Fetcher::with(policy(&["shop.example:*"]), resolver, &[]);
        let fetcher = BlockingFetcher::new(fetcher).expect("a thread");
        fetcher.get(&format!("http://shop.example:{port}/"))
    };
    // A trusted name may be on this machine, but not where credentials are; a dead address is passed over.
    let photo = fetcher(&[&["169.254.169.254", "127.0.0.9", "127.0.0.3"]]);
    assert_eq!(photo.expect("the last one"), b"photo");
    let error = fetcher(&[&["169.254.169.254"]]).expect_err("credentials");
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error}");
    let error = fetcher(&[&[]]).expect_err("no address");
    assert!(matches!(error, FetchError::Unresolved { .. }), "{error}");
    let error = fetcher(&[&["127.0.0.9"]]).expect_err("nobody there");
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[test]
fn too_many_bytes_are_refused_whatever_the_head_says() {
    let server = Server::on("127.0.0.1", |path, _| {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.extend(match path {
            "/told" => &b"Content-Length: 5000\r\n\r\n"[..],
            "/chunked" => b"Transfer-Encoding: chunked\r\n\r\n1388\r\n",
            "/short" => b"Content-Length: 5\r\n\r\n",
            "/cut-off" => b"Content-Length: 900\r\n\r\n",
            _ => b"Connection: close\r\n\r\n",
        });
        let n = if path == "/cut-off" { 100 } else { 5000 };
        head.extend(vec![b'x'; n]);
        Reply::Raw(head)
    });
    for path in ["/told", "/chunked", "/untold"] {
        let error = get(&server.url(path)).expect_err(path);
        assert!(
            matches!(error, FetchError::TooLarge { limit: 1000, .. }),
            "{path}: {error}"
        );
    }
    // Less was promised than came: no more is read than was promised.
    assert_eq!(get(&server.url("/short")).expect("five"), b"xxxxx");
    let error = get(&server.url("/cut-off")).expect_err("cut off");
    assert!(matches!(error, FetchError::Broken { .. }), "{error}");
}

#[test]
fn slow_hosts_are_given_up() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec();
    let server = Server::on("127.0.0.1", move |path, _| match path {
        "/drip" => Reply::Drip(head.clone()),
        "/drip-head" => Reply::Drip(b"HTTP/1.1 200 OK\r\nX-A: ".to_vec()),
        "/stalls" => Reply::After(Duration::from_secs(60), Vec::new()),
        _ => Reply::Raw(head.clone()),
    });
    let mut short = policy(&["127.0.0.1:*"]);
    short.limits.total = Duration::from_millis(900);
    short.limits.connect = Duration::from_millis(100);
    for path in ["/drip", "/drip-head", "/stalls"] {
        let error = get_with(short.clone(), &server.url(path)).expect_err(path);
        let is_slow = matches!(
            error,
            FetchError::TooSlow { .. } | FetchError::Stalled { .. }
        );
        assert!(is_slow, "{path}: {error}");
    }
}

#[test]
fn busy_hosts_are_asked_again_within_reason() {
    let server = Server::on("127.0.0.1", |path, n| {
        let busy = |headers: &str| Reply::Raw(answer("503 Service Unavailable", headers, b""));
        match path {
            "/twice" if n < 2 => busy("Retry-After: 0\r\n"),
            "/twice" => ok(b"photo"),
            "/tomorrow" => busy("Retry-After: 86400\r\n"),
            _ => Reply::Raw(answer("429 Too Many Requests", "Retry-After: 0\r\n", b"")),
        }
    });
    assert_eq!(
        get(&server.url("/twice")).expect("the third time"),
        b"photo"
    );
    assert_eq!(server.n_requests(), 3);
    let error = get(&server.url("/tomorrow")).expect_err("too late");
    assert!(
        matches!(error, FetchError::Status { status: 503, .. }),
        "{error}"
    );
    assert_eq!(server.n_requests(), 4, "not worth a wait");
    let error = get(&server.url("/always")).expect_err("never");
    assert!(
        matches!(error, FetchError::Status { status: 429, .. }),
        "{error}"
    );
    assert_eq!(server.n_requests(), 7);
}

#[test]
fn hosts_that_break_off_are_asked_again() {
    for first in [
        answer("502 Bad Gateway", "", b""),
        answer("504 Gateway Timeout", "", b""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nphot".to_vec(),
    ] {
        let server = Server::on("127.0.0.1", move |_, n| match n {
            0 => Reply::Raw(first.clone()),
            _ => ok(b"photo"),
        });
        assert_eq!(get(&server.url("/")).expect("the second time"), b"photo");
        assert_eq!(server.n_requests(), 2);
    }
    let failing = Server::on("127.0.0.1", |_, _| {
        Reply::Raw(answer("500 Internal Server Error", "", b""))
    });
    get(&failing.url("/")).expect_err("it would fail again");
    assert_eq!(failing.n_requests(), 1);
}

#[test]
fn one_host_is_not_asked_too_much_at_once() {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = Server::on("127.0.0.1", move |_, _| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        now.fetch_sub(1, Ordering::SeqCst);
        ok(b"photo")
    });
    let fetcher = Fetcher::new(policy(&["127.0.0.1:*"]));
    let fetcher = BlockingFetcher::new(fetcher).expect("a thread");
    let start = |_| fetcher.start(&server.url("/"), None);
    let coming: Vec<_> = (0..20).map(start).collect();
    for coming in coming {
        let fetched = coming.recv().expect("an end").expect("a photo");
        assert!(matches!(fetched, Fetched::New(object) if object.bytes == b"photo"));
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most}");
}

#[test]
fn compressed_bodies_and_what_is_no_http_are_refused() {
    let server = Server::on("127.0.0.1", |path, _| match path {
        "/gzip" => Reply::Raw(answer("200 OK", "Content-Encoding: gzip\r\n", b"\x1f\x8b")),
        "/smtp" => Reply::Raw(b"220 mail.example ESMTP\r\n".to_vec()),
        "/long-head" => {
            let mut head = b"HTTP/1.1 200 OK\r\nX-A: ".to_vec();
            head.extend(vec![b'a'; 1 << 20]);
            Reply::Raw(head)
        }
        _ => Reply::Raw(Vec::new()),
    });
    let error = get(&server.url("/gzip")).expect_err("compressed");
    assert!(
        matches!(&error, FetchError::Encoded { coding, .. } if coding == "gzip"),
        "{error}"
    );
    for path in ["/smtp", "/long-head", "/nothing"] {
        let error = get(&server.url(path)).expect_err(path);
        assert!(
            matches!(error, FetchError::Broken { .. }),
            "{path}: {error:?}"
        );
    }
}

#[test]
fn posts_are_told_their_status_and_not_redirected() {
    let other = Server::on("127.0.0.1", |_, _| ok(b""));
    let elsewhere = other.url("/");
    let server = Server::on("127.0.0.1", move |path, _| match path {
        "/elsewhere" => redirect(&elsewhere),
        "/busy" => Reply::Raw(answer("503 Service Unavailable", "Retry-After: 7\r\n", b"")),
        _ => Reply::Raw(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()),
    });
    let fetcher = Fetcher::new(policy(&["127.0.0.1:*"]));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let post = |path: &str| {
        let url = server.url(path).parse().expect("a URL");
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().expect("a header"));
        let sent = fetcher.post(&url, headers, b"{}".to_vec(), Duration::from_secs(5));
        runtime.block_on(sent).expect("an answer")
    };
    assert_eq!(post("/").status, 204);
    assert_eq!(post("/elsewhere").status, 302);
    assert_eq!(other.n_requests(), 0);
    let busy = post("/busy");
    assert_eq!(
        (busy.status, busy.retry_after),
        (503, Some(Duration::from_secs(7)))
    );
    let head = &server.requests()[0].head;
    assert!(
        head.starts_with("POST / ") && head.contains("webhook-id: msg_1"),
        "{head}"
    );
    let (strict, url) = (Fetcher::new(policy(&[])), server.url("/"));
    let url = url.parse().expect("a URL");
    let refused = strict.post(&url, HeaderMap::new(), Vec::new(), Duration::from_secs(5));
    let error = runtime.block_on(refused).expect_err("this machine");
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error}");
}
