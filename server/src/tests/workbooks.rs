//! Workbooks in and out.

use axum::http::Request;
use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use rust_xlsxwriter::Workbook;

use super::fixture::{Answer, bare, get, service, upload};
use crate::config::Config;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Two cars: one that can be valued, one that cannot.
pub fn cars() -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (place, header) in (0..).zip(["Заметка", "Марка", "Год", "Пробег"]) {
        sheet.write_string(0, place, header).unwrap();
    }
    for (row, (year, mileage)) in (1..).zip([(2018.0, 50_000.0), (1700.0, 1.0)]) {
        sheet.write_string(row, 0, "x").unwrap();
        sheet.write_string(row, 1, "Kia").unwrap();
        sheet.write_number(row, 2, year).unwrap();
        sheet.write_number(row, 3, mileage).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

fn cells(answer: &Answer) -> Vec<Vec<Data>> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(answer.body.clone())).unwrap();
    let range = workbook.worksheet_range_at(0).unwrap().unwrap();
    range.rows().map(<[Data]>::to_vec).collect()
}

#[tokio::test]
async fn a_workbook_comes_back_with_prices_and_reasons() {
    let answer = upload(&service(), "/v1/valuations/xlsx", "file", "машины.xlsx", &cars()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, XLSX));
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"______-valued.xlsx\"; \
         filename*=UTF-8''%D0%BC%D0%B0%D1%88%D0%B8%D0%BD%D1%8B-valued.xlsx"
    );
    let rows = cells(&answer);
    let header: Vec<String> = rows[0].iter().map(ToString::to_string).collect();
    let expected =
        ["Заметка", "Марка", "Год", "Пробег", "predict_value", "predict_low", "predict_high", "predict_status"];
    assert_eq!(header, expected);
    let Data::Float(price) = rows[1][4] else { panic!("{:?}", rows[1]) };
    assert!((price - 1_202_604.0).abs() < 200.0, "{price}");
    assert_eq!(rows[1][7], Data::String("ok".into()));
    assert_eq!(rows[2][4], Data::Empty);
    let Data::String(status) = &rows[2][7] else { panic!("{:?}", rows[2]) };
    assert!(status.contains("year must be between 1900 and 2027") || status.contains("must be between"), "{status}");
}

#[tokio::test]
async fn the_predecessors_path_names_its_file() {
    let answer = upload(&service(), "/get_sale_prediction_for_multiple_cars", "file", "cars.xlsx", &cars()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-disposition"), "attachment;filename=predictions.xlsx");
    assert_eq!(cells(&answer).len(), 3);
}

#[tokio::test]
async fn what_is_no_workbook_is_explained() {
    let service = service();
    let path = "/v1/valuations/xlsx";
    let missing = upload(&service, path, "workbook", "cars.xlsx", &cars()).await;
    assert_eq!(missing.problem(), (422, "invalid-fields".to_owned()));
    assert_eq!(missing.json()["errors"][0]["loc"], serde_json::json!(["body", "workbook"]));
    let none = Request::post(path).header("content-type", "multipart/form-data; boundary=b").body("--b--\r\n".into());
    assert_eq!(super::fixture::send(&service, none.unwrap()).await.json()["errors"][0]["loc"][1], "file");
    for (name, content) in [("cars.xlsx", b"".as_slice()), ("cars.csv", b"brand,year,mileage\nKia,2018,1\n")] {
        let answer = upload(&service, path, "file", name, content).await;
        assert_eq!(answer.problem(), (422, "unreadable-table".to_owned()));
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(name));
    }
    assert_eq!(super::fixture::post(&service, path, "{}").await.problem().0, 415);
}

#[tokio::test]
async fn large_uploads_are_refused() {
    let config = Config { max_upload_bytes: 1000, ..Config::default() };
    let service = crate::build(&super::fixture::state(config));
    let answer = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &[b'x'; 2000]).await;
    assert_eq!(answer.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn the_template_is_there_with_and_without_a_model() {
    for service in [service(), crate::build(&bare(Config::default()))] {
        let answer = get(&service, "/v1/valuations/template.xlsx").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, XLSX));
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"template.xlsx\"");
        assert_eq!(cells(&answer)[0][0], Data::String("brand".into()));
    }
}

/// A workbook that does not fit into the memory that uploads have.
fn large_workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (place, title) in (0..).zip(["brand", "model", "year", "mileage", "note"]) {
        sheet.write_string(0, place, title).unwrap();
    }
    for row in 1..=30_000_u32 {
        sheet.write_string(row, 0, "Kia").unwrap();
        sheet.write_string(row, 1, "Rio").unwrap();
        sheet.write_number(row, 2, 2018).unwrap();
        sheet.write_number(row, 3, row).unwrap();
        let noise = |factor: u64| format!("{:x}", u64::from(row).wrapping_mul(factor));
        let noise = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0xD6E8_FEB8_6659_FD93].map(noise);
        sheet.write_string(row, 4, noise.concat()).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

/// How many uploads and results lie in the server's folder, beside the lock of its process.
fn files_in_scratch(config: &Config) -> usize {
    let folders = std::fs::read_dir(&config.folder).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir()).map(|path| std::fs::read_dir(path).unwrap().count() - 1).sum()
}

#[tokio::test]
async fn a_large_workbook_goes_over_the_disk_and_leaves_nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().join("server"), ..Config::default() };
    let service = crate::build(&super::fixture::state(config.clone()));
    let large = large_workbook();
    assert!(large.len() > 1 << 20);
    let answer = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &large).await;
    assert_eq!(answer.status, 200);
    let cells = cells(&answer);
    assert_eq!((cells.len(), cells[30_000][5].to_string().is_empty()), (30_001, false));
    assert_eq!(cells[7][8], Data::String("ok".into()));
    assert_eq!(files_in_scratch(&config), 0);
}

#[tokio::test]
async fn more_rows_than_are_accepted_are_too_large() {
    let service = crate::build(&super::fixture::state(Config { max_rows: 100, ..Config::default() }));
    let answer = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &large_workbook()).await;
    assert_eq!(answer.problem(), (413, "table-too-large".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_asked_after_fetched_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().join("server"), ..Config::default() };
    let service = crate::build(&super::fixture::state(config.clone()));
    let answer = upload(&service, "/v1/valuations/jobs", "file", "машины.xlsx", &large_workbook()).await;
    assert_eq!(answer.status, 202);
    let job = answer.json();
    assert_eq!((&job["state"], &job["file"]), (&"running".into(), &"машины.xlsx".into()));
    let place = answer.header("location").to_owned();
    assert_eq!(place, format!("/v1/valuations/jobs/{}", job["id"].as_str().unwrap()));
    let early = get(&service, &format!("{place}/result")).await;
    assert!(early.status == 200 || early.problem() == (409, "conflict".to_owned()));
    let done = loop {
        let job = get(&service, &place).await.json();
        if job["state"] != "running" {
            break job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&done["state"], &done["valued"], &done["error"]), (&"done".into(), &30_000.into(), &().into()));
    for _ in 0..2 {
        let result = get(&service, done["result"].as_str().unwrap()).await;
        assert_eq!(cells(&result).len(), 30_001);
        assert!(result.header("content-disposition").contains("filename*=UTF-8''"));
    }
    let delete = || Request::delete(&place).body(axum::body::Body::empty()).unwrap();
    assert_eq!(super::fixture::send(&service, delete()).await.status, 204);
    assert_eq!(super::fixture::send(&service, delete()).await.problem(), (404, "not-found".to_owned()));
    assert_eq!(get(&service, &place).await.status, 404);

    let answer = upload(&service, "/v1/valuations/jobs", "file", "cars.xlsx", b"PK no workbook").await;
    let place = answer.header("location").to_owned();
    let failed = loop {
        let job = get(&service, &place).await.json();
        if job["state"] != "running" {
            break job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&failed["state"], &failed["error"]["status"]), (&"failed".into(), &422.into()));
    assert_eq!(get(&service, &format!("{place}/result")).await.problem(), (409, "conflict".to_owned()));
}

fn guarded() -> Config {
    let api_keys = ["ann", "bob"].map(crate::config::Secret::new).to_vec();
    Config { api_keys, rate_limit: 1000.try_into().ok(), ..Config::default() }
}

fn upload_by(key: &str, path: &str) -> Request<axum::body::Body> {
    let mut body = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n".to_vec();
    body.extend(cars());
    body.extend(b"\r\n--b--\r\n");
    let request =
        Request::post(path).header("content-type", "multipart/form-data; boundary=b").header("x-api-key", key);
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn the_jobs_of_one_caller_push_out_his_own_only() {
    let service = crate::build(&super::fixture::state(guarded()));
    let start = async |key| super::fixture::send(&service, upload_by(key, "/v1/valuations/jobs")).await;
    let state = async |place: &str| {
        let request = Request::get(place).header("x-api-key", "bob").body(axum::body::Body::empty()).unwrap();
        let answer = super::fixture::send(&service, request).await;
        (answer.status == 200).then(|| answer.json()["state"].as_str().unwrap().to_owned())
    };
    let mut jobs = vec![start("bob").await.header("location").to_owned()];
    for _ in 0..80 {
        let job = start("ann").await;
        assert_eq!(job.status, 202);
        while state(job.header("location")).await.as_deref() == Some("running") {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        jobs.push(job.header("location").to_owned());
    }
    assert_eq!(state(&jobs[0]).await.as_deref(), Some("done"), "bob's");
    assert_eq!(state(&jobs[1]).await, None, "the oldest of ann's");
    assert_eq!(state(&jobs[80]).await.as_deref(), Some("done"));
}

#[tokio::test]
async fn each_row_of_a_workbook_counts() {
    let service = crate::build(&super::fixture::state(Config { rate_limit: 2.try_into().ok(), ..guarded() }));
    for (key, status) in [("ann", 200), ("ann", 429), ("bob", 200)] {
        let answer = super::fixture::send(&service, upload_by(key, "/v1/valuations/xlsx")).await;
        assert_eq!(answer.status, status, "{key}");
    }
}
