//! What loads the service in `bench/endurance`: POST requests over raw sockets in one thread, so that it costs little.
//!
//! `load ADDR PATH --connections N --seconds S` sends, and prints what came back as JSON; see `--help`.
//! `load leak ADDR` serves, and keeps a kilobyte of memory for each request: a leak that a check of memory must see.

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

/// Before a refused connection is tried again.
const PAUSE: Duration = Duration::from_millis(5);
/// How long answers are waited for when nothing is sent any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Timers tick in milliseconds; a request is late when it is sent this long after it was due.
const LATE: Duration = Duration::from_millis(10);
/// Wrong answers that are shown.
const EXAMPLES: usize = 5;
const CAR: &str = include_str!("car.json");

/// Sends POST requests and prints what came back as JSON. SIGTERM or Ctrl-C ends it early, with its report.
#[derive(Debug, Parser)]
#[command(after_help = "Example: load 127.0.0.1:8000 /v1/valuations --connections 16 --seconds 5")]
struct Arguments {
    /// The address of the service
    address: SocketAddr,
    /// The path of the requests
    path: String,
    /// How many connections are used at once
    #[arg(long)]
    connections: usize,
    /// How long requests are sent
    #[arg(long)]
    seconds: f64,
    /// How many requests are sent at most
    #[arg(long)]
    requests: Option<u32>,
    /// Requests a second, evenly, whether or not earlier ones are answered; without it, each connection sends its next
    /// request when the last one is answered
    #[arg(long)]
    rate: Option<f64>,
    /// JSON bodies, one a line, sent in turn [default: that of car.json]
    #[arg(long)]
    bodies: Option<PathBuf>,
    /// For each body, on the line of the same number, the exact price by model version: {"1": 1199988.75}
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
        ["leak", address] => runtime.block_on(leak(address)),
        _ => runtime.block_on(send(&Arguments::parse())),
    }
}

/// Runs all connections to their end and prints the report.
async fn send(arguments: &Arguments) -> Result<()> {
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
        given_up = run.give_up() => given_up,
    }?;
    let sending = run.end.get().min(Instant::now()) - run.began;
    println!("{}", run.report.take().into_json(sending));
    Ok(())
}

/// What the connections share.
struct Run {
    address: SocketAddr,
    /// Whole requests, one for each body.
    messages: Vec<Vec<u8>>,
    /// The price by version, for each body; empty when nothing is expected.
    expected: Vec<Value>,
    /// The time between two requests of an open loop.
    interval: Option<Duration>,
    requests: u32,
    reconnect: bool,
    began: Instant,
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
        let began = Instant::now();
        Ok(Self {
            address: *address,
            messages: bodies.iter().map(|body| message(body).into_bytes()).collect(),
            expected,
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            requests: arguments.requests.unwrap_or(u32::MAX),
            reconnect: arguments.reconnect,
            began,
            end: Cell::new(began + Duration::try_from_secs_f64(arguments.seconds)?),
            next: Cell::new(0),
            report: RefCell::default(),
        })
    }

    /// One connection, made anew whenever it ends.
    async fn client(self: Rc<Self>) -> Result<()> {
        let mut kept: Option<TcpStream> = None;
        let mut buffer = Vec::new();
        while let Some(number) = self.next_request().await {
            let mut stream = match kept.take().filter(is_open) {
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
                Ok(answer) => {
                    self.note(&answer, &buffer, body, sent.elapsed())?;
                    kept = Some(stream).filter(|_| !answer.closes && !self.reconnect);
                }
                Err(failure) => self.report.borrow_mut().failed(failure)?,
            }
        }
        Ok(())
    }

    /// The number of the next request, once it is due; none when the run is over.
    async fn next_request(&self) -> Option<u32> {
        let number = self.next.get();
        if number >= self.requests {
            return None;
        }
        self.next.set(number + 1);
        if let Some(interval) = self.interval {
            let due = self.began + interval * number;
            if due + LATE < Instant::now() {
                self.report.borrow_mut().late += 1;
            }
            sleep_until(due.min(self.end.get())).await;
        }
        (Instant::now() < self.end.get()).then_some(number)
    }

    /// A new connection, tried for until the run is over.
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
                Err(error) => return Err(error).context("no connection can be made"),
            }
            sleep(PAUSE).await;
        }
        Ok(None)
    }

    /// Counts an answer, and looks into it where a price is expected.
    fn note(&self, answer: &Message, buffer: &[u8], body: usize, took: Duration) -> Result<()> {
        let status = answer.status.context("what came is no answer of HTTP/1.1")?;
        let mut report = self.report.borrow_mut();
        report.answered(status, took);
        report.accepted_in_time += u32::from(status == 200 && Instant::now() <= self.end.get());
        let Some(expected) = self.expected.get(body).filter(|_| status == 200) else { return Ok(()) };
        let found: Value = serde_json::from_slice(&buffer[answer.body..]).unwrap_or_default();
        let wanted = &expected[found["model"]["version"].to_string()];
        if !wanted.is_number() || found["price"] != *wanted {
            report.wrong += 1;
            if report.examples.len() < EXAMPLES {
                report.examples.push(json!({ "body": body, "answer": found, "expected": expected }));
            }
        }
        Ok(())
    }

    /// Waits for the end or for a signal, and then for answers that do not come.
    async fn give_up(&self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            () = sleep_until(self.end.get()) => {}
        }
        self.end.set(Instant::now());
        sleep(PATIENCE).await;
        Ok(())
    }
}

fn read_lines(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Whether the service left a connection open while it was idle. As far as the runtime knows: this asks no system.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn is_reset(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Why there is no answer.
enum Failure {
    /// The connection had ended before anything was written: a request is written at once or not at all.
    Unsent(Error),
    /// The connection ended after the request was written.
    Lost(Error),
    /// What came is not understood.
    Malformed(anyhow::Error),
}

/// Sends a request and reads its answer into the buffer.
async fn exchange(stream: &mut TcpStream, message: &[u8], buffer: &mut Vec<u8>) -> Result<Message, Failure> {
    stream.write_all(message).await.map_err(Failure::Unsent)?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.map_err(Failure::Lost)? == 0 {
            return Err(Failure::Lost(ErrorKind::UnexpectedEof.into()));
        }
        if let Some(answer) = Message::parse(buffer).map_err(Failure::Malformed)? {
            return Ok(answer);
        }
    }
}

/// A whole message of HTTP/1.1, either way.
struct Message {
    /// Of an answer; a request has a path in its place.
    status: Option<u16>,
    /// Where the body begins; it ends with the buffer.
    body: usize,
    /// Whether it is the last one of its connection.
    closes: bool,
}

impl Message {
    /// Reads what has come; none while something is missing.
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
        let length = length.context("a message without Content-Length is not understood")?;
        ensure!(buffer.len() <= body + length, "a message is longer than its Content-Length");
        Ok((buffer.len() == body + length).then_some(Self { status, body, closes }))
    }
}

/// What came back.
#[derive(Default)]
struct Report {
    answers: BTreeMap<u16, u32>,
    /// While requests were still being sent: one that waits for its answer says nothing about the speed of the others.
    accepted_in_time: u32,
    accepted_ms: Vec<f32>,
    refused_ms: Vec<f32>,
    /// Requests that are not answered yet; at the end, those that never are.
    in_flight: u32,
    lost: u32,
    resets: u32,
    refused_connections: u32,
    late: u32,
    wrong: u32,
    examples: Vec<Value>,
}

impl Report {
    fn answered(&mut self, status: u16, took: Duration) {
        *self.answers.entry(status).or_default() += 1;
        let milliseconds = took.as_secs_f32() * 1e3;
        match status {
            200 => self.accepted_ms.push(milliseconds),
            429 | 503 => self.refused_ms.push(milliseconds),
            _ => {}
        }
    }

    fn failed(&mut self, failure: Failure) -> Result<()> {
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
            "answers": self.answers.iter().map(|(status, count)| (status.to_string(), *count)).collect::<BTreeMap<_, _>>(),
            "per_second": f64::from(self.accepted_in_time) / took.as_secs_f64(),
            "accepted_ms": percentiles(&mut self.accepted_ms),
            "refused_ms": percentiles(&mut self.refused_ms),
            "lost": self.lost + self.in_flight,
            "resets": self.resets,
            "refused_connections": self.refused_connections,
            "late": self.late,
            "wrong": self.wrong,
            "examples": self.examples,
        })
    }
}

/// Null where there are none.
fn percentiles(values: &mut [f32]) -> Value {
    values.sort_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |percent| values.get(last * percent / 100);
    json!({ "p50": at(50), "p99": at(99), "max": at(100) })
}

/// Serves, and never gives back a kilobyte of each request.
async fn leak(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("leak serves on http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(leak_for(stream));
    }
}

/// Answers the requests of a connection until it ends.
async fn leak_for(mut stream: TcpStream) -> Result<()> {
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await? > 0 {
        if Message::parse(&buffer)?.is_some() {
            // Otherwise the compiler leaves out what nobody reads.
            black_box(vec![1_u8; 1024].leak());
            buffer.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await?;
        }
    }
    Ok(())
}
