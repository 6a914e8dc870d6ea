//! Valuing workbooks.

use axum::http::Request;
use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use rust_xlsxwriter::Workbook;

use super::fixture::{TestResponse, get, service, state_without_model, upload};
use crate::config::Config;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Two cars: one that can be valued, one that cannot.
pub fn cars() -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, header) in (0..).zip(["Заметка", "Марка", "Год", "Пробег"]) {
        sheet.write_string(0, column, header).unwrap();
    }
    for (row, (year, mileage)) in (1..).zip([(2018.0, 50_000.0), (1700.0, 1.0)]) {
        sheet.write_string(row, 0, "x").unwrap();
        sheet.write_string(row, 1, "Kia").unwrap();
        sheet.write_number(row, 2, year).unwrap();
        sheet.write_number(row, 3, mileage).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

fn cells(response: &TestResponse) -> Vec<Vec<Data>> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(response.body.clone())).unwrap();
    let range = workbook.worksheet_range_at(0).unwrap().unwrap();
    range.rows().map(<[Data]>::to_vec).collect()
}

#[tokio::test]
async fn workbooks_are_returned_with_prices_and_reasons() {
    let response = upload(&service(), "/v1/valuations/xlsx", "file", "машины.xlsx", &cars()).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (200, XLSX));
    assert_eq!(
        response.header("content-disposition"),
        "attachment; filename=\"______-valued.xlsx\"; \
         filename*=UTF-8''%D0%BC%D0%B0%D1%88%D0%B8%D0%BD%D1%8B-valued.xlsx"
    );
    let rows = cells(&response);
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
async fn results_for_people_are_in_their_language() {
    let response = upload(&service(), "/v1/valuations/xlsx?language=sheet", "file", "cars.xlsx", &cars()).await;
    let rows = cells(&response);
    let header: Vec<String> = rows[0][4..].iter().map(ToString::to_string).collect();
    assert_eq!(header, ["Оценка, ₽", "Оценка от, ₽", "Оценка до, ₽", "Статус оценки"]);
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(response.body.clone())).unwrap();
    let summary = workbook.worksheet_range("Итоги оценки").unwrap();
    let unused = summary.rows().find(|row| row[0] == Data::String("Заметка".into())).unwrap();
    assert_eq!(unused[1], Data::String("не использован".into()));
    let response = upload(&service(), "/v1/valuations/xlsx?language=en", "file", "cars.xlsx", &cars()).await;
    assert_eq!(cells(&response)[0][4].to_string(), "Estimate, ₽");
    let response = upload(&service(), "/v1/valuations/xlsx?language=de", "file", "cars.xlsx", &cars()).await;
    assert_eq!(response.status, 422);
}

/// A car of a known make and one of an unknown one.
fn cars_of_two_makes() -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write_row(0, 0, ["brand", "year", "mileage"]).unwrap();
    for (row, brand) in (1..).zip(["Kiaa", "Kia"]) {
        sheet.write_string(row, 0, brand).unwrap();
        sheet.write_row(row, 1, [2018, 50_000]).unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

#[tokio::test]
async fn rows_of_unknown_makes_get_no_price_unless_allowed() {
    let service = service();
    let query = "?allow_unknown=true";
    let refused = "brand \"Kiaa\" is not known (did you mean \"kia\"?)";
    let allowed = "ok: brand \"kiaa\" is not known (did you mean \"kia\"?); the car was valued without it";
    for path in ["/v1/valuations/xlsx", "/get_sale_prediction_for_multiple_cars"] {
        for (query, has_price, status) in [("", false, refused), (query, true, allowed)] {
            let response = upload(&service, &format!("{path}{query}"), "file", "cars.xlsx", &cars_of_two_makes()).await;
            let rows = cells(&response);
            assert_eq!(matches!(rows[1][3], Data::Float(_)), has_price, "{:?}", rows[1]);
            assert_eq!(rows[1][6], Data::String(status.into()));
            assert_eq!(rows[2][6], Data::String("ok".into()));
        }
    }
    let invalid = upload(&service, "/v1/valuations/xlsx?allow_unknown=1", "file", "cars.xlsx", &cars()).await;
    assert_eq!(invalid.json()["errors"][0]["type"], "not_a_boolean");
    let job = upload(&service, "/v1/valuations/jobs?allow_unknwon=true", "file", "cars.xlsx", &cars()).await;
    assert_eq!(job.json()["errors"][0]["type"], "unknown_parameter");
}

#[tokio::test]
async fn names_that_can_only_mean_known_ones_are_read_as_those() {
    let service = service();
    let csv = "brand,model,year,mileage\nkia,rio,2018,50000\nКиа,Рио,2018,50000\nKIA,Kia Rio,2018,50000\nkia,камаз,2018,50000\n";
    let response = upload(&service, "/v1/valuations/xlsx", "file", "cars.csv", csv.as_bytes()).await;
    let text = String::from_utf8(response.body.clone()).unwrap();
    let results: Vec<&str> = text.lines().skip(1).map(|line| line.splitn(5, ',').last().unwrap()).collect();
    assert!(results[0].ends_with(",ok"), "{text}");
    assert_eq!((results[1], results[2]), (results[0], results[0]), "{text}");
    assert!(results[3].contains("is not known"), "{text}");
}

#[tokio::test]
async fn a_job_values_unknown_makes_on_request() {
    let service = service();
    for (query, valued) in [("", 1), ("?allow_unknown=true", 2)] {
        let path = format!("/v1/valuations/jobs{query}");
        let response = upload(&service, &path, "file", "cars.xlsx", &cars_of_two_makes()).await;
        let job = finished_job(&service, response.header("location")).await;
        assert_eq!((&job["state"], &job["valued"]), (&"done".into(), &valued.into()));
    }
}

#[tokio::test]
async fn the_legacy_path_sets_its_file_name() {
    let response = upload(&service(), "/get_sale_prediction_for_multiple_cars", "file", "cars.xlsx", &cars()).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-disposition"), "attachment;filename=predictions.xlsx");
    assert_eq!(cells(&response).len(), 3);
}

#[tokio::test]
async fn invalid_workbooks_are_explained() {
    let service = service();
    let path = "/v1/valuations/xlsx";
    let missing = upload(&service, path, "workbook", "cars.xlsx", &cars()).await;
    assert_eq!(missing.problem(), (422, "invalid-fields".to_owned()));
    assert_eq!(missing.json()["errors"][0]["loc"], serde_json::json!(["body", "workbook"]));
    let none = Request::post(path).header("content-type", "multipart/form-data; boundary=b").body("--b--\r\n".into());
    assert_eq!(super::fixture::send(&service, none.unwrap()).await.json()["errors"][0]["loc"][1], "file");
    for (name, content) in [("cars.xlsx", b"".as_slice()), ("cars.doc", b"brand,year,mileage\nKia,2018,1\n")] {
        let response = upload(&service, path, "file", name, content).await;
        assert_eq!(response.problem(), (422, "unreadable-table".to_owned()));
        assert!(response.json()["detail"].as_str().unwrap().starts_with(name));
    }
    assert_eq!(super::fixture::post(&service, path, "{}").await.problem().0, 415);
}

#[tokio::test]
async fn large_uploads_are_rejected() {
    let config = Config { max_upload_bytes: 1000, ..Config::default() };
    let service = crate::build(&super::fixture::state(config));
    let response = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &[b'x'; 2000]).await;
    assert_eq!(response.problem(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn the_template_is_served_with_and_without_a_model() {
    for service in [service(), crate::build(&state_without_model(Config::default()))] {
        let response = get(&service, "/v1/valuations/template.xlsx").await;
        assert_eq!((response.status.as_u16(), response.header("content-type")), (200, XLSX));
        assert_eq!(response.header("content-disposition"), "attachment; filename=\"template.xlsx\"");
        assert_eq!(cells(&response)[0][0], Data::String("brand".into()));
    }
}

/// A workbook that is spooled to disk.
fn large_workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    for (column, title) in (0..).zip(["brand", "model", "year", "mileage", "note"]) {
        sheet.write_string(0, column, title).unwrap();
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

/// Number of uploads and results in the server's folder, apart from the lock file.
fn count_scratch_files(config: &Config) -> usize {
    let folders = std::fs::read_dir(&config.folder).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir()).map(|path| std::fs::read_dir(path).unwrap().count() - 1).sum()
}

#[tokio::test]
async fn large_workbooks_are_spooled_to_disk_and_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().join("server"), ..Config::default() };
    let service = crate::build(&super::fixture::state(config.clone()));
    let large = large_workbook();
    assert!(large.len() > 1 << 20);
    let response = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &large).await;
    assert_eq!(response.status, 200);
    let cells = cells(&response);
    assert_eq!((cells.len(), cells[30_000][5].to_string().is_empty()), (30_001, false));
    assert_eq!(cells[7][8], Data::String("ok".into()));
    assert_eq!(count_scratch_files(&config), 0);
}

#[tokio::test]
async fn workbooks_with_too_many_rows_are_rejected() {
    let service = crate::build(&super::fixture::state(Config { max_rows: 100, ..Config::default() }));
    let response = upload(&service, "/v1/valuations/xlsx", "file", "cars.xlsx", &large_workbook()).await;
    assert_eq!(response.problem(), (413, "table-too-large".to_owned()));
}

/// Polls a job until it has ended.
async fn finished_job(service: &axum::Router, location: &str) -> serde_json::Value {
    loop {
        let job = get(service, location).await.json();
        if job["state"] != "running" {
            return job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_can_be_polled_fetched_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().join("server"), ..Config::default() };
    let service = crate::build(&super::fixture::state(config.clone()));
    let response = upload(&service, "/v1/valuations/jobs", "file", "машины.xlsx", &large_workbook()).await;
    assert_eq!(response.status, 202);
    let job = response.json();
    assert_eq!((&job["state"], &job["file"]), (&"running".into(), &"машины.xlsx".into()));
    let location = response.header("location").to_owned();
    assert_eq!(location, format!("/v1/valuations/jobs/{}", job["id"].as_str().unwrap()));
    let early = get(&service, &format!("{location}/result")).await;
    assert!(early.status == 200 || early.problem() == (409, "conflict".to_owned()));
    let done = finished_job(&service, &location).await;
    assert_eq!((&done["state"], &done["valued"], &done["error"]), (&"done".into(), &30_000.into(), &().into()));
    for _ in 0..2 {
        let result = get(&service, done["result"].as_str().unwrap()).await;
        assert_eq!(cells(&result).len(), 30_001);
        assert!(result.header("content-disposition").contains("filename*=UTF-8''"));
    }
    let delete = || Request::delete(&location).body(axum::body::Body::empty()).unwrap();
    assert_eq!(super::fixture::send(&service, delete()).await.status, 204);
    assert_eq!(super::fixture::send(&service, delete()).await.problem(), (404, "not-found".to_owned()));
    assert_eq!(get(&service, &location).await.status, 404);

    let response = upload(&service, "/v1/valuations/jobs", "file", "cars.xlsx", b"PK no workbook").await;
    let location = response.header("location").to_owned();
    let failed = finished_job(&service, &location).await;
    assert_eq!((&failed["state"], &failed["error"]["status"]), (&"failed".into(), &422.into()));
    assert_eq!(get(&service, &format!("{location}/result")).await.problem(), (409, "conflict".to_owned()));
}

fn with_keys() -> Config {
    let api_keys = ["ann", "bob"].map(crate::config::Secret::new).to_vec();
    Config { api_keys, rate_limit: 1000.try_into().ok(), ..Config::default() }
}

fn upload_request(key: &str, path: &str) -> Request<axum::body::Body> {
    let mut body = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n".to_vec();
    body.extend(cars());
    body.extend(b"\r\n--b--\r\n");
    let request =
        Request::post(path).header("content-type", "multipart/form-data; boundary=b").header("x-api-key", key);
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn jobs_of_one_caller_evict_only_their_own() {
    let service = crate::build(&super::fixture::state(with_keys()));
    let start = async |key| super::fixture::send(&service, upload_request(key, "/v1/valuations/jobs")).await;
    let state = async |location: &str| {
        let request = Request::get(location).header("x-api-key", "bob").body(axum::body::Body::empty()).unwrap();
        let response = super::fixture::send(&service, request).await;
        (response.status == 200).then(|| response.json()["state"].as_str().unwrap().to_owned())
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
async fn each_row_of_a_workbook_counts_towards_the_rate_limit() {
    let service = crate::build(&super::fixture::state(Config { rate_limit: 2.try_into().ok(), ..with_keys() }));
    for (key, status) in [("ann", 200), ("ann", 429), ("bob", 200)] {
        let response = super::fixture::send(&service, upload_request(key, "/v1/valuations/xlsx")).await;
        assert_eq!(response.status, status, "{key}");
    }
}

/// A form with a file and a mapping.
async fn upload_mapped(path: &str, name: &str, content: &str, mapping: &str) -> TestResponse {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"mapping\"\r\n\r\n{mapping}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n--b--\r\n"
    );
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=b").body(body.into());
    super::fixture::send(&service(), request.unwrap()).await
}

const DEALER: &str = "№ п/п;Марка;Год;Пробек;Цена закупки\n1;Kia;2018;83 тыс;900000\n2;Kiaa;2018;5;1\n3;Kia;1500;5;1\n";

#[tokio::test]
async fn a_table_is_checked_before_it_is_valued() {
    let check = upload(&service(), "/v1/valuations/check", "file", "cars.csv", DEALER.as_bytes()).await.json();
    assert_eq!((&check["format"], &check["missing"]), (&"csv".into(), &serde_json::json!(["mileage"])));
    assert_eq!((&check["rows"], &check["valuable"]), (&3.into(), &0.into()));
    let columns: Vec<_> =
        check["columns"].as_array().unwrap().iter().map(|it| (&it["column"], &it["suggestion"])).collect();
    let null = &serde_json::Value::Null;
    let [brand, year, mileage, price] = ["brand", "year", "mileage", "price"].map(serde_json::Value::from);
    assert_eq!(columns, [(null, null), (&brand, null), (&year, null), (null, &mileage), (null, &price)]);

    let mapping = r#"{"Пробек": "mileage", "Цена закупки": "ignore"}"#;
    let check = upload_mapped("/v1/valuations/check", "cars.csv", DEALER, mapping).await.json();
    assert_eq!((&check["missing"], &check["valuable"]), (&serde_json::json!([]), &1.into()));
    let problems: Vec<_> = check["problems"].as_array().unwrap().iter().map(|it| (&it["row"], &it["type"])).collect();
    assert_eq!(problems, [(&3.into(), &"unknown_brand".into()), (&4.into(), &"out_of_range".into())]);
    let message = check["problems"][0]["msg"].as_str().unwrap();
    assert!(message.starts_with("brand \"Kiaa\" is not known"), "{message}");

    let valued = upload_mapped("/v1/valuations/xlsx", "cars.csv", DEALER, mapping).await;
    assert_eq!((valued.status.as_u16(), valued.header("content-type")), (200, "text/csv; charset=utf-8"));
    let text = String::from_utf8(valued.body).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("Цена закупки;predict_value;predict_low;predict_high;predict_status"), "{text}");
    assert!(lines[1].ends_with(";ok") && lines[2].contains("is not known"), "{text}");
}

#[tokio::test]
async fn wrong_mappings_are_refused() {
    for (mapping, code) in [("[]", "not_an_object"), (r#"{"Пробек": "km"}"#, "unknown_column")] {
        let response = upload_mapped("/v1/valuations/check", "cars.csv", DEALER, mapping).await;
        assert_eq!((response.status.as_u16(), &response.json()["errors"][0]["type"]), (422, &code.into()));
        assert_eq!(response.json()["errors"][0]["loc"], serde_json::json!(["body", "mapping"]));
    }
}

#[tokio::test]
async fn a_csv_becomes_a_workbook_and_a_job_says_what_it_adds_up_to() {
    let service = service();
    let csv = "Марка;Год;Пробег;Цена;Заметка\nKia;2018;50000;1300000;=1+1\nKia;2018;50000;;\nKiaa;2018;1;1;\n";
    let path = "/v1/valuations/jobs?language=sheet&format=xlsx";
    let response = upload(&service, path, "file", "склад.csv", csv.as_bytes()).await;
    let job = finished_job(&service, response.header("location")).await;
    assert_eq!(job["state"], "done", "{job}");
    let portfolio = &job["portfolio"];
    assert_eq!((&portfolio["rows"], &portfolio["valued"]), (&3.into(), &2.into()), "{portfolio}");
    assert_eq!(portfolio["first"][0]["car"], "Kia 2018");
    assert_eq!((&portfolio["furthest"][0]["row"], &portfolio["furthest"][1]), (&2.into(), &serde_json::Value::Null));
    assert!(portfolio["first"][2]["price"].is_null());
    let result = get(&service, job["result"].as_str().unwrap()).await;
    assert_eq!(result.header("content-type"), XLSX);
    assert!(result.header("content-disposition").contains("-valued.xlsx"));
    let rows = cells(&result);
    assert_eq!(rows[0][5], Data::String("Оценка, ₽".into()));
    assert_eq!(rows[1][4], Data::String("=1+1".into()));
    assert!(matches!(rows[1][5], Data::Float(_)) && rows[3][5] == Data::Empty, "{rows:?}");
}

#[tokio::test]
async fn a_csv_in_windows_1251_is_read() {
    // "Марка;Год;Пробег" and a car.
    let header =
        [0xCC, 0xE0, 0xF0, 0xEA, 0xE0, b';', 0xC3, 0xEE, 0xE4, b';', 0xCF, 0xF0, 0xEE, 0xE1, 0xE5, 0xE3, b'\n'];
    let table = [header.as_slice(), b"Kia;2018;5\n"].concat();
    let check = upload(&service(), "/v1/valuations/check", "file", "cars.csv", &table).await.json();
    assert_eq!((&check["columns"][0]["header"], &check["valuable"]), (&"Марка".into(), &1.into()));
}
