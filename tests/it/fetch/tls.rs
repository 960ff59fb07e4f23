//! HTTPS against a server whose certificate someone vouches for, or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use touchstone::fetch::{BlockingFetcher, FetchError, Fetcher};

use super::{ScriptedResolver, policy};

/// A server called `shop.example`, and its certificate.
fn serve() -> (SocketAddr, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).expect("made");
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a good pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = [0; 2048];
            // A client that does not trust this server hangs up here.
            if stream.read(&mut head).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nphoto");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (address, certificate)
}

#[test]
fn certificates_are_checked() {
    let (address, certificate) = serve();
    let get = |host: &str, authorities: &[CertificateDer<'static>]| {
        let resolver = ScriptedResolver::of(host, &[&["127.0.0.1"]]);
        let fetcher = Fetcher::with(policy(&["127.0.0.1:*"]), resolver, authorities);
        let fetcher = BlockingFetcher::new(fetcher).expect("a thread");
        fetcher.get(&format!("https://{host}:{}/a.jpg", address.port()))
    };
    let vouched = [certificate];
    assert_eq!(get("shop.example", &vouched).expect("trusted"), b"photo");
    for (host, authorities) in [("shop.example", &[][..]), ("other.example", &vouched)] {
        let error = get(host, authorities).expect_err(host);
        assert!(
            matches!(error, FetchError::Untrusted { .. }),
            "{host}: {error:?}"
        );
    }
}
