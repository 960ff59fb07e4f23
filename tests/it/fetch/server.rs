//! Web servers that misbehave on demand, on real sockets.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a server does with one request.
pub enum Reply {
    /// Sends this and hangs up.
    Raw(Vec<u8>),
    /// Sends this, then a byte now and then, for ever.
    Drip(Vec<u8>),
    /// Holds the connection for so long, then sends this.
    After(Duration, Vec<u8>),
}

/// A whole answer with a body.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer
}

/// A redirect to `location`.
pub fn redirect(location: &str) -> Reply {
    Reply::Raw(answer(
        "302 Found",
        &format!("Location: {location}\r\n"),
        b"",
    ))
}

pub fn ok(body: &[u8]) -> Reply {
    Reply::Raw(answer("200 OK", "", body))
}

/// What came.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// A server on an address of this machine.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with what `reply` makes of its path and its number, from 0.
    pub fn on(ip: &str, reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (reply, kept) = (Arc::new(reply), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, kept) = (Arc::clone(&reply), Arc::clone(&kept));
                thread::spawn(move || attend(stream, &*reply, &kept));
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn n_requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }

    /// The requests that came.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn attend(mut stream: TcpStream, reply: &dyn Fn(&str, usize) -> Reply, kept: &Mutex<Vec<Request>>) {
    let Some(request) = receive(&mut stream) else {
        return;
    };
    let path = request.head.split(' ').nth(1).expect("a path").to_owned();
    let number = {
        let mut kept = kept.lock().expect("no panic");
        kept.push(request);
        kept.len() - 1
    };
    // A client that has hung up has seen enough.
    match reply(&path, number) {
        Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
        Reply::After(span, bytes) => {
            thread::sleep(span);
            drop(stream.write_all(&bytes));
        }
        Reply::Drip(bytes) => {
            let mut sent = stream.write_all(&bytes);
            while sent.is_ok() {
                thread::sleep(Duration::from_millis(20));
                sent = stream.write_all(b"x");
            }
        }
    }
}

/// The whole request; `None` when the client goes before.
fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |n| n.parse().expect("a number"))];
    stream.read_exact(&mut body).ok()?;
    Some(Request { head, body })
}
