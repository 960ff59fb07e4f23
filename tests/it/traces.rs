//! Traces, sent by the program to a collector that takes what comes over a real connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::cli::{COPY, Program};
use crate::operating::{Served, register};

/// Nothing here should take this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives every request's head and body, and takes it.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream.expect("a connection"));
                while let Some(request) = next_request(&mut stream) {
                    let taken = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.get_mut().write_all(taken).expect("sent");
                    if tell.send(request).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, told)
}

fn next_request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().expect("a number")];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Names stand as they are in the binary form.
fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|at| at == part)
}

#[test]
fn a_photo_is_traced_through_its_stages() {
    let program = Program::new();
    register(&program, &[]);
    let (collector, told) = collector();
    program.done(&["match", COPY, "--otlp-endpoint", &collector]);
    let (head, body) = told.recv_timeout(PATIENCE).expect("a trace");
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf"),
        "{head}"
    );
    for name in [
        "service.name",
        "touchstone",
        "prepare",
        "embed",
        "read_words",
        "find_candidates",
        "verify",
        "judge",
    ] {
        assert!(holds(&body, name.as_bytes()), "{name}");
    }
}

#[test]
fn a_request_belongs_to_its_clients_trace() {
    let program = Program::new();
    register(&program, &[]);
    let (collector, told) = collector();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let served = Served::start_in(&program, &["--open"], &environment);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    ureq::get(format!("{}/healthz", served.address))
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))
        .call()
        .expect("an answer");
    let (_, body) = told.recv_timeout(PATIENCE).expect("a trace");
    let id: Vec<u8> = (0..trace.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&trace[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    assert!(holds(&body, &id), "the client's trace");
    assert!(holds(&body, b"/healthz"), "the route");
}

#[test]
fn a_collector_that_is_away_costs_nobody_an_answer() {
    let program = Program::new();
    register(&program, &[]);
    // Nobody listens at a port that was just given back.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let away = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let ran = program.done(&["match", COPY, "--otlp-endpoint", &away]);
    assert!(ran.stdout().contains("Oatly"), "{}", ran.stdout());
    let said = ran.stderr();
    assert_eq!(
        said.matches("do not reach the collector").count(),
        1,
        "{said}"
    );
    program.done(&["assets", "list", "--otlp-endpoint", ""]);
    let ran = program.run(&["match", COPY, "--otlp-endpoint", "collector:4318"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("collector:4318"), "{}", ran.stderr());
}
