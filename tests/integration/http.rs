//! The HTTP service with a trained model.

use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::market::{Home, SMALL, Server, block_on, rio, server, trained};

fn post(server: &Server, path: &str, body: &Value) -> (StatusCode, Value) {
    block_on(async {
        let response = reqwest::Client::new().post(server.url(path)).json(body).send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.json().await?))
    })
    .unwrap()
}

#[test]
fn a_car_is_valued_with_interval_factors_and_comparables() {
    let server = server();
    let (status, response) = post(&server, "/v1/valuations?explain=true&comparables=3", &rio());
    assert_eq!(status, 200, "{response}");
    let figure = |name: &str| response[name].as_f64().unwrap();
    assert!(figure("low") <= figure("price") && figure("price") <= figure("high"));
    assert!((100_000.0..10_000_000.0).contains(&figure("price")), "{response}");
    assert_eq!(response["currency"], "RUB");
    assert_eq!(response["as_of"], "2026-03-17");
    assert_eq!(response["warnings"], json!([]));
    let amounts = response["factors"].as_array().unwrap().iter().map(|factor| factor["amount"].as_f64().unwrap());
    let usual = response["baseline"]["price"].as_f64().unwrap();
    assert!((usual + amounts.sum::<f64>() - figure("price")).abs() < 0.01, "{response}");
    let comparables = response["comparables"].as_array().unwrap();
    assert_eq!(comparables.len(), 3);
    for comparable in comparables {
        assert_eq!((comparable["brand"].as_str(), comparable["model"].as_str()), (Some("kia"), Some("rio")));
        assert!((2015..=2021).contains(&comparable["year"].as_i64().unwrap()), "{comparable}");
        let ratio = comparable["adjusted_price"].as_f64().unwrap() / comparable["price"].as_f64().unwrap();
        assert!((ratio - 1.0 - comparable["adjustment"].as_f64().unwrap()).abs() < 1e-3, "{comparable}");
    }

    let mut unknown = rio();
    unknown["brand"] = "Kiaa".into();
    let (status, problem) = post(&server, "/v1/valuations", &unknown);
    assert_eq!((status.as_u16(), &problem["errors"][0]["type"]), (422, &json!("unknown_brand")));
    assert!(problem["detail"].as_str().unwrap().contains("did you mean \"kia\"?"), "{problem}");
    let (_, response) = post(&server, "/v1/valuations?allow_unknown=true", &unknown);
    assert_eq!(response["warnings"][0]["field"], "brand");
    assert!(response["warnings"][0]["message"].as_str().unwrap().contains("kia"), "{response}");
    let width = |response: &Value| response["high"].as_f64().unwrap() / response["low"].as_f64().unwrap();
    assert!(width(&response) > width(&post(&server, "/v1/valuations", &rio()).1), "{response}");
}

#[test]
fn a_price_long_after_the_newest_listing_has_a_wider_range_and_a_warning() {
    let server = server();
    let value = |date: Option<&str>| {
        let mut car = rio();
        car["listing_date"] = json!(date);
        let (status, response) = post(&server, "/v1/valuations", &car);
        assert_eq!(status, 200, "{response}");
        response
    };
    let width = |response: &Value| (response["high"].as_f64().unwrap() / response["low"].as_f64().unwrap()).ln() / 2.0;
    let (then, today) = (value(Some("2026-03-17")), value(None));
    assert_eq!(then["warnings"], json!([]));
    assert_eq!(today["warnings"][0]["code"], "outdated_market", "{today}");
    assert_eq!(then["market_as_of"], today["market_as_of"]);
    assert!(then["market_as_of"].as_str().unwrap() > "2026-03-17");
    assert!(width(&today) > 1.05 * width(&then), "{today} {then}");
}

#[test]
fn all_invalid_fields_are_reported_at_once() {
    let server = server();
    let (status, problem) = post(&server, "/v1/valuations", &json!({"brand": 5, "year": 1800, "milage": 3}));
    assert_eq!(status, 422);
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/brand", "/milage", "/mileage", "/year"]);
}

/// Skipped and invalid parts of a body take a bounded multiple of its size in memory, and responses stay small.
#[test]
fn invalid_bodies_take_bounded_memory() {
    const SIZE: usize = 10 << 20;
    let server = Server::start(trained());
    let fill = |start: &str, middle: &str, end: &str| {
        [start, &middle.repeat((SIZE - start.len() - end.len()) / middle.len()), end].concat()
    };
    let bodies = [
        fill("[{", r#""a":1,"#, r#""a":1}]"#),
        fill("[{", r#""brand":"Kia","#, r#""a":1}]"#),
        fill(r#"[{"a":["#, r#"{"":0},"#, "0]}]"),
        fill("[", "1,", "1]"),
        fill("[{\"", "\\u0061", "\":1}]"),
        fill("[{\"brand\":\"", "a ", "\"}]"),
    ];
    block_on(async {
        let client = reqwest::Client::new();
        for body in bodies {
            let before = server.peak_memory();
            let shown = body[..20].to_owned();
            let request = client.post(server.url("/v1/valuations/batch")).header("content-type", "application/json");
            let response = request.body(body).send().await?;
            assert!(response.status() == 200 || response.status() == 422, "{shown}: {}", response.status());
            let response = response.bytes().await?;
            assert!(response.len() < 16 << 10, "{shown}: a response of {} bytes", response.len());
            // The kernel counts the peak only roughly, so a later one may be lower.
            let grown = server.peak_memory().saturating_sub(before);
            assert!(grown < 5 * SIZE, "{shown}: {grown} bytes more");
        }
        Ok::<_, reqwest::Error>(())
    })
    .unwrap();
}

#[test]
fn batch_results_are_in_order() {
    let server = server();
    let (status, response) = post(&server, "/v1/valuations/batch", &json!([rio(), {"brand": "Kia"}, rio()]));
    assert_eq!(status, 200);
    assert_eq!(response[0]["price"], response[2]["price"]);
    assert!(response[1]["error"].is_object(), "{response}");
}

#[test]
fn the_predecessors_example_still_works() {
    let server = server();
    let (status, response) = post(
        &server,
        "/get_sale_prediction_for_one_car",
        &json!({
            "brand": "LADA (ВАЗ)", "year": 1995, "mileage": 96000, "body_type": "седан", "fuel_type": "Бензин",
            "engine_volume": 1.5, "engine_power": 71, "transmission": "механическая", "drive": "передний",
            "wheel": "Левый", "state": "Не требует ремонта", "owners_count": 3, "pts": "Оригинал",
            "customs": "Растаможен",
        }),
    );
    assert_eq!(status, 200);
    assert!(response.as_f64().unwrap() > 0.0, "{response}");
}

#[test]
fn a_workbook_of_ten_thousand_rows_is_valued() {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    workbook.add_worksheet().set_name("Заметки").unwrap().write(0, 0, "не трогать").unwrap();
    let sheet = workbook.add_worksheet();
    sheet.write_row(0, 0, ["Комментарий", "Марка", "Модель", "Год", "Пробег"]).unwrap();
    for row in 1..=10_000 {
        let is_invalid = row % 100 == 0;
        sheet.write(row, 0, format!("=строка {row}")).unwrap();
        sheet.write_row(row, 1, ["Kia", "Rio"]).unwrap();
        sheet.write(row, 3, if is_invalid { 1000 } else { 2018 }).unwrap();
        sheet.write(row, 4, format!("{row} км")).unwrap();
    }
    let upload = workbook.save_to_buffer().unwrap();
    let server = server();
    for path in ["/v1/valuations/xlsx", "/get_sale_prediction_for_multiple_cars"] {
        let form = Form::new().part("file", Part::bytes(upload.clone()).file_name("машины.xlsx"));
        let returned = block_on(async {
            let response = reqwest::Client::new().post(server.url(path)).multipart(form).send().await?;
            assert_eq!(response.status(), 200);
            response.bytes().await
        })
        .unwrap();
        let mut returned: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(returned)).unwrap();
        assert_eq!(returned.sheet_names(), ["Заметки", "Sheet2"]);
        let rows = returned.worksheet_range("Sheet2").unwrap();
        assert_eq!(rows.height(), 10_001);
        let header: Vec<String> = rows.rows().next().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(header[5..], ["predict_value", "predict_low", "predict_high", "predict_status"]);
        for (number, row) in rows.rows().enumerate().skip(1) {
            assert_eq!(row[0], Data::String(format!("=строка {number}")));
            assert_eq!(row[4], Data::String(format!("{number} км")));
            let status = row[8].to_string();
            if number % 100 == 0 {
                assert_eq!(row[5], Data::Empty);
                assert!(status.contains("year must be between"), "{status}");
            } else {
                assert!(matches!(row[5], Data::Float(price) if price > 0.0), "row {number}: {:?}", row[5]);
                assert!(status.starts_with("ok"), "{status}");
            }
        }
    }
}

#[test]
fn promotions_take_effect_without_a_restart() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "1500"]);
    home.ok(&[&["train", "--promote"], SMALL.as_slice()].concat());
    let server = Server::start(&home);
    let version = || post(&server, "/v1/valuations", &rio()).1["model"]["version"].to_string();
    let first = version();
    home.ok(&[&["train", "--promote", "--set=seed=1"], SMALL.as_slice()].concat());
    for _ in 0..100 {
        if version() != first {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("version {first} is still served");
}

#[test]
fn without_a_model_the_response_says_how_to_train_one() {
    let home = Home::new();
    let process = home.command(&["serve", "--bind", "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).spawn();
    let server = Server::from_process(process.unwrap());
    let (status, problem) = post(&server, "/v1/valuations", &rio());
    assert_eq!(status, 503);
    assert!(problem["detail"].as_str().unwrap().contains("probeg train"), "{problem}");
}
