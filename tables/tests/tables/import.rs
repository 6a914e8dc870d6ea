//! Reading listings from tables.

use std::io::Write;

use chrono::NaiveDate;
use domain::{Column, Market, PricedListing, Targets};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rust_xlsxwriter::{Format, Formula, Workbook};
use tables::{Encoding, Limits, Options, Rejection, Source, Table};

use crate::fixtures::{open, row, rows, today, workbook};

type RowResult = (u64, Result<PricedListing, Vec<Rejection>>);

fn import_with(name: &str, bytes: &[u8], encoding: Option<&str>) -> Vec<RowResult> {
    let encoding = encoding.map(|label| label.parse::<Encoding>().unwrap());
    let options = Options { encoding, target: Some(Column::Price), ..Options::default() };
    let mut table = Table::open(Source::bytes(name, bytes), options).unwrap();
    let header = table.header().clone();
    let rows = table.rows().unwrap().map(Result::unwrap);
    rows.map(|row| (row.number(), row.priced(&header, today()))).collect()
}

fn import(name: &str, bytes: &[u8]) -> Vec<RowResult> {
    import_with(name, bytes, None)
}

fn accepted(result: &RowResult) -> &PricedListing {
    result.1.as_ref().unwrap()
}

#[test]
fn russian_tables_are_parsed() {
    let text = "Отчёт за март;;;;;\n\
                Марка;Год выпуска;Пробег, км;Объём;Цена;Дата;Car_Group;заметка\n\
                Kia;2018;83 000 км;1,6;1 250 000 ₽;17.03.2026;a1;\"=1+1\"\n\
                ;;;;;;;\n\
                Лада;;150.000;1598 см³;;;;x\n\
                Kia;2018;83000\n";
    let results = import("cars.csv", text.as_bytes());
    let first = accepted(&results[0]);
    assert_eq!(results[0].0, 3);
    assert_eq!(first.listing.number(Column::Mileage), Some(83_000.0));
    assert_eq!(first.listing.number(Column::EngineVolume), Some(1.6));
    assert_eq!(first.listing.date(), NaiveDate::from_ymd_opt(2026, 3, 17));
    assert_eq!((first.targets.price, first.car_group.as_deref()), (1_250_000.0, Some("a1")));
    let (line, second) = &results[1];
    let columns: Vec<_> = second.as_ref().unwrap_err().iter().map(|rejection| rejection.column).collect();
    assert_eq!((*line, columns), (5, vec!["mileage", "year", "price"]));
    let (line, third) = &results[2];
    assert_eq!(*line, 6);
    assert_eq!(third.as_ref().unwrap_err()[0].to_string(), "the row has 3 fields, the header has 8");
    assert_eq!(results.len(), 3);
}

#[test]
fn tables_are_read_as_their_market_writes_them() {
    let market = Market::built_in().iter().find(|market| market.name() == "de").unwrap();
    let text = "Marke;Modell;Erstzulassung;Laufleistung;Leistung (kW);Getriebe;Preis [€];Verkauft für;Standtage\n\
                VW;Golf;03/2016;150.000;85;Schaltgetriebe;12.500 €;11.900;21\n\
                Opel;Corsa;2018;61.500 km;51 kW (70 PS);Automatik;9.800,-;;\n\
                Opel;Corsa;2018;61.500 km;;Automatik;9.800 £;;\n";
    let options = Options { target: Some(Column::Price), market: market.clone(), ..Options::default() };
    let mut table = Table::open(Source::bytes("autos.csv", text.as_bytes()), options).unwrap();
    let header = table.header().clone();
    let rows: Vec<_> = table.rows().unwrap().map(|row| row.unwrap().priced(&header, today())).collect();
    let [Ok(golf), Ok(corsa), Err(pounds)] = &rows[..] else { panic!("{rows:?}") };
    let number = |row: &PricedListing, column| row.listing.number(column).unwrap();
    assert_eq!((number(golf, Column::Year), number(golf, Column::Mileage)), (2016.0, 150_000.0));
    assert_eq!((number(golf, Column::EnginePower), number(corsa, Column::EnginePower)), (116.0, 70.0));
    assert_eq!(golf.targets, Targets { price: 12_500.0, sale_price: Some(11_900.0), days_listed: Some(21.0) });
    assert_eq!(corsa.targets, Targets::price(9800.0));
    assert_eq!(pounds[0].to_string(), "price must be a number (got \"9.800 £\")");
}

#[test]
fn columns_with_the_same_meaning_must_agree() {
    let text = "Город,Марка,Год,Год выпуска,Пробег,Регион,Объём,\"Объем, л\",Цена,КПП,коробка\n\
                Тверь,Kia,2018,,83000,Тверская область,1598,1.6,1350000,АКПП,автомат\n\
                Тверь,Kia,н/д,2018 г.,83000,,,,1350000,,\n\
                ,Kia,2018,2019,много,,,,1350000,АКПП,МКПП\n";
    let results = import("cars.csv", text.as_bytes());
    let listing = &accepted(&results[0]).listing;
    assert_eq!(listing.text(Column::Region), Some("Тверская область"));
    assert_eq!(
        (listing.number(Column::EngineVolume), listing.text(Column::Transmission)),
        (Some(1.6), Some("автомат"))
    );
    let listing = &accepted(&results[1]).listing;
    assert_eq!((listing.text(Column::Region), listing.number(Column::Year)), (Some("Тверь"), Some(2018.0)));
    let reasons: Vec<_> = results[2].1.as_ref().unwrap_err().iter().map(Rejection::to_string).collect();
    assert_eq!(
        reasons,
        [
            "year differs between the columns \"Год\" and \"Год выпуска\" (got \"2018 / 2019\")",
            "transmission differs between the columns \"коробка\" and \"КПП\" (got \"МКПП / АКПП\")",
            "mileage must be a number (got \"много\")",
        ]
    );
}

#[test]
fn encodings_and_multi_member_gzip_are_supported() {
    let text = "Марка;Год;Пробег;Цена\r\nЛада;2015;90000;400000\r\n";
    let (windows, _, _) = encoding_rs::WINDOWS_1251.encode(text);
    let utf16: Vec<u8> = [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let mut gzip = Vec::new();
    for part in [&text.as_bytes()[..30], &text.as_bytes()[30..]] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).unwrap();
        gzip.extend(encoder.finish().unwrap());
    }
    let marked = format!("\u{feff}{text}");
    let expected = import("cars.csv", text.as_bytes());
    assert_eq!(accepted(&expected[0]).listing.text(Column::Brand), Some("Лада"));
    assert_eq!(import("cars.csv", marked.as_bytes()), expected);
    assert_eq!(import("cars.csv", &utf16), expected);
    assert_eq!(import("cars.csv.gz", &gzip), expected);
    assert_eq!(import_with("cars.csv", &windows, Some("windows-1251")), expected);

    let message = open("cars.csv", &windows).err().unwrap().to_string();
    assert!(message.starts_with("cars.csv: line 1 is not UTF-8 and looks like Windows-1251"), "{message}");
    let message = rows("cars.csv.gz", &gzip[..gzip.len() - 20], Limits::default()).unwrap_err().to_string();
    assert!(message.contains("it is truncated"), "{message}");
}

#[test]
fn workbooks_with_titles_dates_formulas_and_errors_are_parsed() {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Титул").unwrap().write_string(0, 0, "Отчёт").unwrap();
    let sheet = book.add_worksheet().set_name("Авто").unwrap();
    sheet.write_string(0, 0, "Автомобили на складе").unwrap();
    row(sheet, 2, &["", "Марка", "Модель", "Год", "Пробег", "Дата", "Цена", "Комментарий"]);
    row(sheet, 3, &["", "Kia", "", "2018"]);
    sheet.write_number(3, 2, 2114).unwrap();
    sheet.write_formula(3, 4, Formula::new("=83*1000").set_result("83000")).unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
    sheet.write_date_with_format(3, 5, day, &Format::new().set_num_format("dd.mm.yyyy")).unwrap();
    sheet.write_string(3, 6, "1 250 000 ₽").unwrap();
    row(sheet, 9, &["", "Kia", "", "2018", "1"]);
    sheet.write_formula(9, 6, Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
    let bytes = book.save_to_buffer().unwrap();

    let results = import("cars.xlsx", &bytes);
    let listing = &accepted(&results[0]).listing;
    assert_eq!(results[0].0, 4);
    assert_eq!(listing.text(Column::Model), Some("2114"));
    assert_eq!(listing.number(Column::Mileage), Some(83_000.0));
    assert_eq!(listing.date(), Some(day));
    assert!((accepted(&results[0]).targets.price - 1_250_000.0).abs() < 1e-6);
    let (number, rejected) = &results[1];
    let reasons: Vec<_> = rejected.as_ref().unwrap_err().iter().map(Rejection::to_string).collect();
    assert_eq!(
        (*number, reasons),
        (10, vec!["price contains an error instead of a value (got \"#DIV/0!\")".to_owned()])
    );

    let table = open("cars.xlsx", &bytes).unwrap();
    assert_eq!(table.header().sheet.as_deref(), Some("Авто"));
    assert_eq!(table.header().unrecognized(), ["Комментарий"]);
}

#[test]
fn missing_columns_are_reported_with_the_headers_found() {
    let bytes = workbook(|sheet| row(sheet, 1, &["brand", "год", "km"]));
    let error = open("cars.xlsx", &bytes).err().unwrap();
    assert!(error.is_invalid_file() && !error.is_too_large());
    assert!(error.to_string().ends_with("the headers found in the first 100 rows are brand, год, km"), "{error}");
    let message = open("cars.csv", b"\n\n").err().unwrap().to_string();
    assert!(message.contains("no header row was found"), "{message}");
}

#[test]
fn a_missing_file_is_not_an_input_error() {
    let error = Table::open(Source::file("/nonexistent/cars.csv"), Options::default()).err().unwrap();
    assert!(!error.is_invalid_file());
    assert!(error.to_string().starts_with("/nonexistent/cars.csv: the file could not be read"), "{error}");
}

proptest! {
    #[test]
    fn csv_round_trips(
        cells in prop::collection::vec(prop::collection::vec("[^\r\0]{0,12}", 2), 1..20),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["brand", "year", "mileage", "a", "b"]).unwrap();
        for cell in &cells {
            writer.write_record(["Kia", "2018", "1", &cell[0], &cell[1]]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let read = rows("cars.csv", &bytes, Limits::default()).unwrap();
        prop_assert_eq!(read.len(), cells.len());
        let mut line = 2;
        for (row, cell) in read.iter().zip(&cells) {
            prop_assert_eq!(row.number(), line);
            line += 1 + cell.iter().map(|text| text.matches('\n').count() as u64).sum::<u64>();
            for (column, text) in (3..).zip(cell) {
                let cell = row.cell(column);
                prop_assert_eq!(cell.display(), text.as_str());
            }
        }
    }

    #[test]
    fn no_bytes_panic(head in "(brand,year,mileage\n)?", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes: Vec<u8> = head.into_bytes().into_iter().chain(bytes).collect();
        let _ = rows("cars", &bytes, Limits::default());
    }
}
