//! Bodies that come slowly, in part, or as odd forms.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use futures_util::{StreamExt, stream};

use super::fixture::{Answer, post, send, state, upload};
use crate::config::Config;

const CAR: &str = r#"{"brand": "Kia", "year": 2018, "mileage": 1}"#;
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";
const PART: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"cars.xlsx\"\r\n\r\n";

/// A server that is impatient.
fn impatient() -> Config {
    Config { idle_timeout: Duration::from_millis(100), ..Config::default() }
}

/// A body of which no more comes behind these bytes.
fn unfinished(bytes: impl Into<Bytes>) -> Body {
    let bytes = Ok::<_, std::io::Error>(bytes.into());
    Body::from_stream(stream::iter([bytes]).chain(stream::pending()))
}

async fn ask(service: &Router, path: &str, content_type: &str, body: Body) -> Answer {
    send(service, Request::post(path).header("content-type", content_type).body(body).unwrap()).await
}

/// Asks in the background, and waits until the server waits for more.
async fn ask_in_part(service: &Router, path: &'static str, content_type: &'static str, bytes: impl Into<Bytes>) {
    let (service, body) = (service.clone(), unfinished(bytes));
    tokio::spawn(async move { ask(&service, path, content_type, body).await });
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[tokio::test]
async fn a_body_that_falls_silent_is_not_waited_for() {
    let service = crate::build(&state(impatient()));
    for (path, content_type, begin) in [
        ("/v1/valuations", JSON, &b"{"[..]),
        ("/v1/valuations/batch", JSON, b""),
        ("/v1/valuations/xlsx", FORM, b""),
        ("/v1/valuations/xlsx", FORM, b"--b\r\nContent-Disposition: form-"),
        ("/v1/valuations/xlsx", FORM, PART),
        ("/v1/valuations/jobs", FORM, PART),
    ] {
        let answer = ask(&service, path, content_type, unfinished(begin)).await;
        assert_eq!(answer.problem(), (408, "too-slow".to_owned()), "{path} {begin:?}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_not_waited_for() {
    let service = crate::build(&state(impatient()));
    let drops = stream::iter(CAR.bytes()).then(async |byte| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::io::Error>(Bytes::from(vec![byte]))
    });
    let answer = ask(&service, "/v1/valuations", JSON, Body::from_stream(drops)).await;
    assert_eq!(answer.problem(), (408, "too-slow".to_owned()));
}

#[tokio::test]
async fn bodies_on_their_way_are_in_nobodys_way() {
    let service = crate::build(&state(Config { sessions: 1, ..Config::default() }));
    for _ in 0..50 {
        ask_in_part(&service, "/v1/valuations/batch", JSON, "[").await;
        ask_in_part(&service, "/v1/valuations/xlsx", FORM, PART).await;
    }
    assert_eq!(post(&service, "/v1/valuations/batch", format!("[{CAR}]")).await.status, 200);
}

/// Room for four megabytes in memory, of which one caller may have two, and as much on the disk.
fn narrow(folder: &std::path::Path) -> Config {
    let (max_upload_bytes, memory_bytes, disk_bytes) = (2 << 20, 4 << 20, 4 << 20);
    Config { max_upload_bytes, memory_bytes, disk_bytes, folder: folder.join("server"), ..Config::default() }
}

#[tokio::test]
async fn bodies_share_the_memory_that_there_is_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(narrow(folder.path()));
    let service = crate::build(&state);
    for _ in 0..4 {
        ask_in_part(&service, "/v1/valuations/batch", JSON, vec![b' '; 600 << 10]).await;
    }
    let spaces = " ".repeat(600 << 10);
    let half = spaces.len() / 2;
    let pieces = [Bytes::from(spaces[..half].to_owned()), Bytes::from(spaces[half..].to_owned())];
    let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)));
    let answer = ask(&service, "/v1/valuations/batch", JSON, body).await;
    assert_eq!(answer.problem(), (503, "no-room".to_owned()));
    assert_eq!(answer.header("retry-after"), "5");
    // What is small needs no room.
    assert_eq!(post(&service, "/v1/valuations/batch", format!("[{CAR}]")).await.status, 200);
    let pieces = [Bytes::from(format!("[{CAR}")), Bytes::from("]")].map(Ok::<_, std::io::Error>);
    let answer = ask(&service, "/v1/valuations/batch", JSON, Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_share_the_disk_that_there_is_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = narrow(folder.path());
    let service = crate::build(&state(config.clone()));
    let part = |size| [PART, &vec![b'x'; size]].concat();
    let stored = || {
        let folders = std::fs::read_dir(&config.folder).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (service, body) = (service.clone(), unfinished(part(900 << 10)));
        tasks.push(tokio::spawn(async move { ask(&service, "/v1/valuations/xlsx", FORM, body).await }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = tasks.iter().filter(|task| task.is_finished()).count();
    // Two fit; where all grew at the same pace, the last of them may do alone.
    assert!((6..=7).contains(&refused), "{refused} of 8 were refused");
    assert!(stored() <= 2 << 20, "{} bytes are stored", stored());
    let answer = ask(&service, "/v1/valuations/xlsx", FORM, unfinished(part(1900 << 10))).await;
    assert_eq!(answer.problem(), (503, "no-room".to_owned()));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(stored(), 0);
    let answer = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &vec![b'x'; 1900 << 10]).await;
    assert_eq!(answer.status, 422);
}

#[tokio::test]
async fn forms_without_an_end_of_their_head_are_refused() {
    let service = crate::build(&state(Config::default()));
    let endless = "x".repeat(1 << 20);
    let named = |name: &str| format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}");
    let pieces = |body: &str| {
        let pieces: Vec<_> = body.as_bytes().chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Body::from_stream(stream::iter(pieces.into_iter().map(|piece: std::io::Result<_>| piece)))
    };
    let complete = format!("{}\"\r\n\r\nx\r\n--b--\r\n", named(&endless));
    let other =
        format!("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b\r\nX: {}", "x".repeat(20 << 10));
    for (what, body) in [
        ("a name", named(&endless)),
        ("a head", complete),
        ("a head of many lines", format!("--b\r\n{}", "X-A: b\r\n".repeat(100_000))),
        ("something before the form", endless.clone()),
        ("blanks behind a boundary", format!("--b{}", " ".repeat(1 << 20))),
        ("a second part", other),
    ] {
        let answer = ask(&service, "/v1/valuations/xlsx", FORM, pieces(&body)).await;
        assert_eq!(answer.problem(), (400, "malformed-form".to_owned()), "{what}, in pieces");
        let answer = ask(&service, "/v1/valuations/xlsx", FORM, body.into()).await;
        assert_eq!(answer.problem(), (400, "malformed-form".to_owned()), "{what}, at once");
    }
    for boundary in ["", "\"\"", &"b".repeat(71)] {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let answer = ask(&service, "/v1/valuations/xlsx", &content_type, Body::from("--b--")).await;
        assert_eq!(answer.problem(), (415, "unsupported-media-type".to_owned()), "{boundary}");
    }
}

#[tokio::test]
async fn a_form_may_have_something_before_and_behind_it() {
    let service = crate::build(&state(Config::default()));
    let form = [b"before\r\n", PART, b"PK no workbook\r\n--b--\r\n", "behind".repeat(100_000).as_bytes()].concat();
    let answer = ask(&service, "/v1/valuations/xlsx", FORM, form.into()).await;
    assert_eq!(answer.problem(), (422, "unreadable-table".to_owned()));
}

#[tokio::test]
async fn long_names_of_files_are_cut() {
    let service = crate::build(&state(Config::default()));
    let name = format!("{}.xlsx", "ё".repeat(4000));
    let answer = upload(&service, "/v1/valuations/jobs", "file", &name, b"PK").await;
    let kept = answer.json()["file"].as_str().unwrap().to_owned();
    assert_eq!((kept.chars().count(), kept.ends_with("ё.xlsx")), (255, true));
    let workbook = super::workbooks::cars();
    let answer = upload(&service, "/v1/valuations/xlsx", "file", &name, &workbook).await;
    let disposition = answer.header("content-disposition");
    assert!(disposition.len() < 2000 && disposition.ends_with("-valued.xlsx"), "{}", disposition.len());
}
