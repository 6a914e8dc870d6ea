//! Slow, partial and malformed request bodies.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use super::fixture::{TestResponse, post, send, state, upload};
use crate::config::Config;

const CAR: &str = r#"{"brand": "Kia", "year": 2018, "mileage": 1}"#;
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";
const PART: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cars.xlsx\"\r\n\r\n";

fn with_short_timeout() -> Config {
    Config { idle_timeout: Duration::from_millis(100), ..Config::default() }
}

/// A body that stalls after these bytes.
fn stalled_body(bytes: impl Into<Bytes>) -> Body {
    stalling_body(bytes, || {})
}

/// The same, but reports when the server has read them and waits for more.
fn stalling_body(bytes: impl Into<Bytes>, on_stall: impl Fn() + Send + 'static) -> Body {
    let bytes = Ok::<_, std::io::Error>(bytes.into());
    Body::from_stream(stream::iter([bytes]).chain(stream::poll_fn(move |_| {
        on_stall();
        Poll::Pending
    })))
}

/// Waits until a condition holds, but no longer than ten seconds.
async fn wait_until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), holds).await.expect("the condition must hold within ten seconds");
}

async fn post_body(service: &Router, path: &str, content_type: &str, body: Body) -> TestResponse {
    send(service, Request::post(path).header("content-type", content_type).body(body).unwrap()).await
}

/// Sends a partial body in the background and lets the server read it.
async fn post_partially(service: &Router, path: &'static str, content_type: &'static str, bytes: impl Into<Bytes>) {
    let stalled = Arc::new(Notify::new());
    let notify = Arc::clone(&stalled);
    let (service, body) = (service.clone(), stalling_body(bytes, move || notify.notify_one()));
    tokio::spawn(async move { post_body(&service, path, content_type, body).await });
    stalled.notified().await;
}

#[tokio::test]
async fn stalled_bodies_time_out() {
    let service = crate::build(&state(with_short_timeout()));
    for (path, content_type, start) in [
        ("/v1/valuations", JSON, &b"{"[..]),
        ("/v1/valuations/batch", JSON, b""),
        ("/v1/valuations/xlsx", FORM, b""),
        ("/v1/valuations/xlsx", FORM, b"--b\r\nContent-Disposition: form-"),
        ("/v1/valuations/xlsx", FORM, PART),
        ("/v1/valuations/jobs", FORM, PART),
    ] {
        let response = post_body(&service, path, content_type, stalled_body(start)).await;
        assert_eq!(response.problem(), (408, "too-slow".to_owned()), "{path} {start:?}");
    }
}

#[tokio::test]
async fn trickling_bodies_time_out() {
    let service = crate::build(&state(with_short_timeout()));
    let bytes = stream::iter(CAR.bytes()).then(async |byte| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::io::Error>(Bytes::from(vec![byte]))
    });
    let response = post_body(&service, "/v1/valuations", JSON, Body::from_stream(bytes)).await;
    assert_eq!(response.problem(), (408, "too-slow".to_owned()));
}

#[tokio::test]
async fn partial_bodies_do_not_block_other_requests() {
    let service = crate::build(&state(Config { sessions: 1, ..Config::default() }));
    for _ in 0..50 {
        post_partially(&service, "/v1/valuations/batch", JSON, "[").await;
        post_partially(&service, "/v1/valuations/xlsx", FORM, PART).await;
    }
    assert_eq!(post(&service, "/v1/valuations/batch", format!("[{CAR}]")).await.status, 200);
}

/// Four megabytes of memory, of which one caller may use two, and the same of disk space.
fn with_small_budgets(folder: &std::path::Path) -> Config {
    let (max_upload_bytes, memory_bytes, disk_bytes) = (2 << 20, 4 << 20, 4 << 20);
    Config { max_upload_bytes, memory_bytes, disk_bytes, folder: folder.join("server"), ..Config::default() }
}

#[tokio::test]
async fn bodies_share_the_memory_budget() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(with_small_budgets(folder.path()));
    let service = crate::build(&state);
    for _ in 0..4 {
        post_partially(&service, "/v1/valuations/batch", JSON, vec![b' '; 600 << 10]).await;
    }
    let spaces = " ".repeat(600 << 10);
    let half = spaces.len() / 2;
    let pieces = [Bytes::from(spaces[..half].to_owned()), Bytes::from(spaces[half..].to_owned())];
    let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)));
    let response = post_body(&service, "/v1/valuations/batch", JSON, body).await;
    assert_eq!(response.problem(), (503, "no-room".to_owned()));
    assert_eq!(response.header("retry-after"), "5");
    // Small bodies are not counted.
    assert_eq!(post(&service, "/v1/valuations/batch", format!("[{CAR}]")).await.status, 200);
    let pieces = [Bytes::from(format!("[{CAR}")), Bytes::from("]")].map(Ok::<_, std::io::Error>);
    let response = post_body(&service, "/v1/valuations/batch", JSON, Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(response.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_share_the_disk_budget() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_small_budgets(folder.path());
    let service = crate::build(&state(config.clone()));
    let part = |size| [PART, &vec![b'x'; size]].concat();
    let stored = || {
        let folders = std::fs::read_dir(&config.folder).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (service, body) = (service.clone(), stalled_body(part(900 << 10)));
        tasks.push(tokio::spawn(async move { post_body(&service, "/v1/valuations/xlsx", FORM, body).await }));
    }
    let rejected = || tasks.iter().filter(|task| task.is_finished()).count();
    // Two fit; if all grow at the same pace, only one may remain.
    wait_until(|| rejected() >= 6).await;
    assert!(rejected() <= 7, "all 8 were rejected");
    assert!(stored() <= 2 << 20, "{} bytes are stored", stored());
    let response = post_body(&service, "/v1/valuations/xlsx", FORM, stalled_body(part(1900 << 10))).await;
    assert_eq!(response.problem(), (503, "no-room".to_owned()));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    wait_until(|| stored() == 0).await;
    let response = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &vec![b'x'; 1900 << 10]).await;
    assert_eq!(response.status, 422);
}

#[tokio::test]
async fn unterminated_form_heads_are_rejected() {
    let service = crate::build(&state(Config::default()));
    let endless = "x".repeat(1 << 20);
    let part_named = |name: &str| format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}");
    let pieces = |body: &str| {
        let pieces: Vec<_> = body.as_bytes().chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Body::from_stream(stream::iter(pieces.into_iter().map(|piece: std::io::Result<_>| piece)))
    };
    let complete = format!("{}\"\r\n\r\nx\r\n--b--\r\n", part_named(&endless));
    let other =
        format!("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b\r\nX: {}", "x".repeat(20 << 10));
    for (case, body) in [
        ("a name", part_named(&endless)),
        ("a head", complete),
        ("a head with many lines", format!("--b\r\n{}", "X-A: b\r\n".repeat(100_000))),
        ("a long preamble", endless.clone()),
        ("padding after a boundary", format!("--b{}", " ".repeat(1 << 20))),
        ("a second part", other),
    ] {
        let response = post_body(&service, "/v1/valuations/xlsx", FORM, pieces(&body)).await;
        assert_eq!(response.problem(), (400, "malformed-form".to_owned()), "{case}, in pieces");
        let response = post_body(&service, "/v1/valuations/xlsx", FORM, body.into()).await;
        assert_eq!(response.problem(), (400, "malformed-form".to_owned()), "{case}, at once");
    }
    for boundary in ["", "\"\"", &"b".repeat(71)] {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let response = post_body(&service, "/v1/valuations/xlsx", &content_type, Body::from("--b--")).await;
        assert_eq!(response.problem(), (415, "unsupported-media-type".to_owned()), "{boundary}");
    }
}

#[tokio::test]
async fn forms_may_have_a_preamble_and_an_epilogue() {
    let service = crate::build(&state(Config::default()));
    let form = [b"before\r\n", PART, b"PK no workbook\r\n--b--\r\n", "behind".repeat(100_000).as_bytes()].concat();
    let response = post_body(&service, "/v1/valuations/xlsx", FORM, form.into()).await;
    assert_eq!(response.problem(), (422, "unreadable-table".to_owned()));
}

#[tokio::test]
async fn long_file_names_are_truncated() {
    let service = crate::build(&state(Config::default()));
    let name = format!("{}.xlsx", "ё".repeat(4000));
    let response = upload(&service, "/v1/valuations/jobs", "file", &name, b"PK").await;
    let name_in_job = response.json()["file"].as_str().unwrap().to_owned();
    assert_eq!((name_in_job.chars().count(), name_in_job.ends_with("ё.xlsx")), (255, true));
    let workbook = super::workbooks::cars();
    let response = upload(&service, "/v1/valuations/xlsx", "file", &name, &workbook).await;
    let disposition = response.header("content-disposition");
    assert!(disposition.len() < 2000 && disposition.ends_with("-valued.xlsx"), "{}", disposition.len());
}
