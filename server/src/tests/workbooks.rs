//! Workbooks in and out.

use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use rust_xlsxwriter::Workbook;

use super::fixture::{Answer, bare, get, service, upload};
use crate::config::Config;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Two cars: one that can be valued, one that cannot.
fn cars() -> Vec<u8> {
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
    assert_eq!(missing.json()["errors"][0]["loc"], serde_json::json!(["body", "file"]));
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
    let service = crate::build(super::fixture::state(config));
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
