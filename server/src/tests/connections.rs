//! A real server on a socket, with clients that violate HTTP or stall.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fixture::state;
use crate::config::Config;

/// A running server.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config { folder: folder.path().to_owned(), drain: Duration::ZERO, ..config };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(crate::serve(listener, state(config), async {
            let _ = stopped.await;
        }));
        Self { address, stop, task, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Connects and sends these bytes.
    fn send(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(bytes.as_ref()).unwrap();
        stream
    }

    /// Sends these bytes and returns the status of the response.
    fn request(&self, bytes: impl AsRef<[u8]>) -> u16 {
        read_status(self.send(bytes))
    }
}

/// Reads the response until the connection is closed and returns its status.
fn read_status(mut stream: TcpStream) -> u16 {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    status.unwrap_or_else(|| panic!("no response: {response:?}")).parse().unwrap()
}

const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn requests_must_have_one_valid_host() {
    let server = Server::start(Config::default()).await;
    for (hosts, version, status) in [
        ("host: a.example:80\r\n", "1.1", 200),
        ("host: [::1]:8000\r\n", "1.1", 200),
        ("host:\r\n", "1.1", 200),
        ("", "1.1", 400),
        ("host: a\r\nHost: a\r\n", "1.1", 400),
        ("host: a, b\r\n", "1.1", 400),
        ("host: a/b\r\n", "1.1", 400),
        ("host: user@a\r\n", "1.1", 400),
        ("", "1.0", 200),
        ("host: a\r\nhost: b\r\n", "1.0", 400),
    ] {
        let actual = server.request(format!("GET /health/live HTTP/{version}\r\n{hosts}connection: close\r\n\r\n"));
        assert_eq!(actual, status, "{hosts:?} in HTTP/{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_heads_get_an_error_response() {
    let server = Server::start(Config::default()).await;
    let head = |headers: &str| format!("GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    assert_eq!(server.request(head(&format!("a: {}\r\n", "x".repeat(60 << 10)))), 200);
    for kilobytes in [72, 1024, 3072] {
        let long = "x".repeat(kilobytes << 10);
        assert_eq!(server.request(head(&format!("a: {long}\r\n"))), 431, "{kilobytes} KB in a header");
        let line = server.request(format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert!([414, 431].contains(&line), "{kilobytes} KB in the request line: {line}");
    }
    assert_eq!(server.request(head(&"a: b\r\n".repeat(200))), 431);
    assert_eq!(server.request("\x16\x03\x01\x02\r\n\r\n"), 400);
    assert_eq!(server.request(LIVE), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_heads_time_out() {
    let server = Server::start(Config { idle_timeout: Duration::from_millis(200), ..Config::default() }).await;
    assert_eq!(server.request("GET /health/live HTTP/1.1\r\nhost:"), 408);
    let mut silent = server.connect();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_exclude_others() {
    let server = Server::start(Config { max_connections: 20, ..Config::default() }).await;
    let body =
        "POST /v1/valuations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    let mut silent = Vec::new();
    for bytes in ["", "GET / HT", body, LIVE] {
        // The last ones get a response and stay connected without reading it.
        let bytes = bytes.replace("connection: close", "connection: keep-alive");
        silent.extend((0..50).map(|_| server.send(&bytes)));
        assert_eq!(server.request(LIVE), 200, "{bytes:?}");
    }
    let car = r#"{"brand": "Kia", "year": 2018, "mileage": 1}"#;
    let length = car.len();
    let head = "POST /v1/valuations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
    assert_eq!(server.request(format!("{head}content-length: {length}\r\n\r\n{car}")), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_bodies_are_discarded_and_the_response_arrives() {
    let server = Server::start(Config::default()).await;
    for (path, content_type, status) in [
        ("/nowhere", "text/plain", 404),
        ("/v1/valuations/batch", "text/plain", 415),
        ("/v1/valuations/xlsx", "multipart/form-data; boundary=b", 400),
    ] {
        let size = 8 << 20;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {size}\r\n\r\n"
        );
        let actual = server.request([head.as_bytes(), &vec![b'x'; size]].concat());
        assert_eq!(actual, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_idle_connections() {
    let server = Server::start(Config::default()).await;
    let _silent = [server.connect(), server.send("GET / HTTP/1.1\r\nhost:")];
    assert_eq!(server.request(LIVE), 200);
    server.stop.send(()).unwrap();
    // Requests in progress would get 20 seconds.
    let stopped = tokio::time::timeout(Duration::from_secs(10), server.task).await;
    stopped.expect("the server did not stop").unwrap().unwrap();
}
