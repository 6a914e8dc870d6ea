//! The load generator of `bench/endurance`: POST requests over raw sockets in a single thread, for a low overhead.
//!
//! `load ADDR PATH --connections N --seconds S` sends requests and prints a report as JSON; see `--help`.
//! `load leak ADDR` runs a service that leaks a kilobyte per request, as a control for the memory check.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

/// Delay before reconnecting after a refused connection.
const RECONNECT_DELAY: Duration = Duration::from_millis(5);
/// How long to wait for outstanding responses at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A request is late if it is sent this long after it was due. Timers have millisecond resolution.
const LATE_THRESHOLD: Duration = Duration::from_millis(10);
/// Number of wrong responses included in the report.
const MAX_EXAMPLES: usize = 5;
const CAR: &str = include_str!("car.json");

/// Sends POST requests and prints a report as JSON. SIGTERM or Ctrl-C stops it early, with a report.
#[derive(Debug, Parser)]
#[command(after_help = "Example: load 127.0.0.1:8000 /v1/valuations --connections 16 --seconds 5")]
struct Arguments {
    /// The address of the service
    address: SocketAddr,
    /// The path of the requests
    path: String,
    /// Number of concurrent connections
    #[arg(long)]
    connections: usize,
    /// Duration of the load
    #[arg(long)]
    seconds: f64,
    /// Maximum number of requests
    #[arg(long)]
    requests: Option<u32>,
    /// Requests per second, evenly spaced (open loop); by default, each connection sends its next request after the
    /// previous response (closed loop)
    #[arg(long)]
    rate: Option<f64>,
    /// JSON bodies, one per line, sent in turn [default: car.json]
    #[arg(long)]
    bodies: Option<PathBuf>,
    /// The exact price by model version for each body, one per line: {"1": 1199988.75}
    #[arg(long)]
    expect: Option<PathBuf>,
    /// Use a new connection for each request
    #[arg(long)]
    reconnect: bool,
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["leak", address] => runtime.block_on(serve_leaking(address)),
        _ => runtime.block_on(run_load(&Arguments::parse())),
    }
}

/// Runs all connections and prints the report.
async fn run_load(arguments: &Arguments) -> Result<()> {
    let run = Rc::new(Run::new(arguments)?);
    let local = LocalSet::new();
    let mut clients = JoinSet::new();
    for _ in 0..arguments.connections {
        clients.spawn_local_on(Rc::clone(&run).client(), &local);
    }
    let all = local.run_until(async {
        while let Some(done) = clients.join_next().await {
            done??;
        }
        Ok(())
    });
    tokio::select! {
        done = all => done,
        timed_out = run.wait_for_end() => timed_out,
    }?;
    let sending = run.end.get().min(Instant::now()) - run.started;
    println!("{}", run.report.take().into_json(sending));
    Ok(())
}

/// State shared by the connections.
struct Run {
    address: SocketAddr,
    /// Encoded requests, one per body.
    messages: Vec<Vec<u8>>,
    /// Expected price by version for each body, or empty.
    expected: Vec<Value>,
    /// Interval between requests of an open loop.
    interval: Option<Duration>,
    requests: u32,
    reconnect: bool,
    started: Instant,
    end: Cell<Instant>,
    next: Cell<u32>,
    report: RefCell<Report>,
}

impl Run {
    fn new(arguments: &Arguments) -> Result<Self> {
        let Arguments { address, path, .. } = arguments;
        let bodies = arguments.bodies.as_deref().map(read_lines).transpose()?.unwrap_or_else(|| vec![CAR.to_owned()]);
        let expected = arguments.expect.as_deref().map(read_lines).transpose()?.unwrap_or_default();
        let expected: Vec<Value> = expected.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
        ensure!(!bodies.is_empty(), "there are no bodies");
        ensure!(expected.is_empty() || expected.len() == bodies.len(), "--expect needs one line for each body");
        let rate = arguments.rate;
        ensure!(rate.is_none_or(|rate| rate > 0.0), "--rate must be above 0");
        let message = |body: &String| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let started = Instant::now();
        Ok(Self {
            address: *address,
            messages: bodies.iter().map(|body| message(body).into_bytes()).collect(),
            expected,
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            requests: arguments.requests.unwrap_or(u32::MAX),
            reconnect: arguments.reconnect,
            started,
            end: Cell::new(started + Duration::try_from_secs_f64(arguments.seconds)?),
            next: Cell::new(0),
            report: RefCell::default(),
        })
    }

    /// Runs one connection, reconnecting whenever it is closed.
    async fn client(self: Rc<Self>) -> Result<()> {
        let mut open: Option<TcpStream> = None;
        let mut buffer = Vec::new();
        while let Some(number) = self.next_request().await {
            let mut stream = match open.take().filter(is_open) {
                Some(stream) => stream,
                None => match self.connect().await? {
                    Some(stream) => stream,
                    None => break,
                },
            };
            let body = number as usize % self.messages.len();
            let sent = Instant::now();
            self.report.borrow_mut().in_flight += 1;
            let outcome = exchange(&mut stream, &self.messages[body], &mut buffer).await;
            self.report.borrow_mut().in_flight -= 1;
            match outcome {
                Ok(response) => {
                    self.record(&response, &buffer, body, sent.elapsed())?;
                    open = Some(stream).filter(|_| !response.closes && !self.reconnect);
                }
                Err(failure) => self.report.borrow_mut().record_failure(failure)?,
            }
        }
        Ok(())
    }

    /// Waits until the next request is due and returns its number, or `None` at the end.
    async fn next_request(&self) -> Option<u32> {
        let number = self.next.get();
        if number >= self.requests {
            return None;
        }
        self.next.set(number + 1);
        if let Some(interval) = self.interval {
            let due = self.started + interval * number;
            if due + LATE_THRESHOLD < Instant::now() {
                self.report.borrow_mut().late += 1;
            }
            sleep_until(due.min(self.end.get())).await;
        }
        (Instant::now() < self.end.get()).then_some(number)
    }

    /// Connects, retrying until the end.
    async fn connect(&self) -> Result<Option<TcpStream>> {
        while Instant::now() < self.end.get() {
            match TcpStream::connect(self.address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Some(stream));
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    self.report.borrow_mut().refused_connections += 1;
                }
                Err(error) if is_reset(&error) => self.report.borrow_mut().resets += 1,
                Err(error) => return Err(error).context("cannot connect"),
            }
            sleep(RECONNECT_DELAY).await;
        }
        Ok(None)
    }

    /// Records a response and checks its price if one is expected.
    fn record(&self, response: &Message, buffer: &[u8], body: usize, took: Duration) -> Result<()> {
        let status = response.status.context("invalid HTTP/1.1 response")?;
        let mut report = self.report.borrow_mut();
        report.record_response(status, took);
        report.accepted_in_time += u32::from(status == 200 && Instant::now() <= self.end.get());
        let Some(expected) = self.expected.get(body).filter(|_| status == 200) else { return Ok(()) };
        let actual: Value = serde_json::from_slice(&buffer[response.body..]).unwrap_or_default();
        let price = &expected[actual["model"]["version"].to_string()];
        if !price.is_number() || actual["price"] != *price {
            report.wrong += 1;
            if report.examples.len() < MAX_EXAMPLES {
                report.examples.push(json!({ "body": body, "response": actual, "expected": expected }));
            }
        }
        Ok(())
    }

    /// Waits for the end or a signal, and then for outstanding responses until the timeout.
    async fn wait_for_end(&self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            () = sleep_until(self.end.get()) => {}
        }
        self.end.set(Instant::now());
        sleep(DRAIN_TIMEOUT).await;
        Ok(())
    }
}

fn read_lines(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Whether an idle connection is still open, as far as the runtime knows; makes no system call.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn is_reset(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Why there is no response.
enum Failure {
    /// The connection was closed before the request was written.
    Unsent(Error),
    /// The connection was closed after the request was written.
    Lost(Error),
    /// The response is malformed.
    Malformed(anyhow::Error),
}

/// Sends a request and reads the response into the buffer.
async fn exchange(stream: &mut TcpStream, message: &[u8], buffer: &mut Vec<u8>) -> Result<Message, Failure> {
    stream.write_all(message).await.map_err(Failure::Unsent)?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.map_err(Failure::Lost)? == 0 {
            return Err(Failure::Lost(ErrorKind::UnexpectedEof.into()));
        }
        if let Some(response) = Message::parse(buffer).map_err(Failure::Malformed)? {
            return Ok(response);
        }
    }
}

/// A complete HTTP/1.1 request or response.
struct Message {
    /// The status of a response; `None` for a request.
    status: Option<u16>,
    /// Offset of the body, which ends with the buffer.
    body: usize,
    /// Whether the connection closes after it.
    closes: bool,
}

impl Message {
    /// Parses a buffer; `None` while the message is incomplete.
    fn parse(buffer: &[u8]) -> Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let mut lines = std::str::from_utf8(&buffer[..end])?.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse::<usize>()?);
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let body = end + 4;
        let length = length.context("a message has no Content-Length")?;
        ensure!(buffer.len() <= body + length, "a message is longer than its Content-Length");
        Ok((buffer.len() == body + length).then_some(Self { status, body, closes }))
    }
}

/// The results of a load.
#[derive(Default)]
struct Report {
    responses: BTreeMap<u16, u32>,
    /// Accepted while requests were still being sent; later responses do not count towards the rate.
    accepted_in_time: u32,
    accepted_ms: Vec<f32>,
    rejected_ms: Vec<f32>,
    /// Requests without a response yet; lost if still so at the end.
    in_flight: u32,
    lost: u32,
    resets: u32,
    refused_connections: u32,
    late: u32,
    wrong: u32,
    examples: Vec<Value>,
}

impl Report {
    fn record_response(&mut self, status: u16, took: Duration) {
        *self.responses.entry(status).or_default() += 1;
        let milliseconds = took.as_secs_f32() * 1e3;
        match status {
            200 => self.accepted_ms.push(milliseconds),
            429 | 503 => self.rejected_ms.push(milliseconds),
            _ => {}
        }
    }

    fn record_failure(&mut self, failure: Failure) -> Result<()> {
        let (error, was_sent) = match failure {
            Failure::Unsent(error) => (error, false),
            Failure::Lost(error) => (error, true),
            Failure::Malformed(error) => return Err(error),
        };
        if !is_reset(&error) && error.kind() != ErrorKind::UnexpectedEof {
            return Err(error.into());
        }
        self.resets += u32::from(is_reset(&error));
        self.lost += u32::from(was_sent);
        Ok(())
    }

    fn into_json(mut self, took: Duration) -> Value {
        json!({
            "seconds": took.as_secs_f64(),
            "responses": self.responses.iter().map(|(status, count)| (status.to_string(), *count)).collect::<BTreeMap<_, _>>(),
            "per_second": f64::from(self.accepted_in_time) / took.as_secs_f64(),
            "accepted_ms": percentiles(&mut self.accepted_ms),
            "rejected_ms": percentiles(&mut self.rejected_ms),
            "lost": self.lost + self.in_flight,
            "resets": self.resets,
            "refused_connections": self.refused_connections,
            "late": self.late,
            "wrong": self.wrong,
            "examples": self.examples,
        })
    }
}

/// Percentiles; null without values.
fn percentiles(values: &mut [f32]) -> Value {
    values.sort_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |percent| values.get(last * percent / 100);
    json!({ "p50": at(50), "p99": at(99), "max": at(100) })
}

/// Runs a service that leaks a kilobyte per request.
async fn serve_leaking(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_leaking_connection(stream));
    }
}

/// Handles the requests of a connection until it is closed.
async fn serve_leaking_connection(mut stream: TcpStream) -> Result<()> {
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        if Message::parse(&buffer)?.is_some() {
            // Otherwise the compiler would remove the unused allocation.
            black_box(vec![1_u8; 1024].leak());
            buffer.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await?;
        }
    }
    Ok(())
}
