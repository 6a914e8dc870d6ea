//! Results for people.

use std::io::{Cursor, Read};

use calamine::{Data, Reader, Xlsx};
use domain::{Column, Language};
use rust_xlsxwriter::{Format, Table, TableColumn, Workbook};
use tables::{Options, Presentation, Source, ValuedTable, Valuer, value_table};

use crate::fixtures::row;
use crate::value::{price, valuer};

fn presentation(language: Option<Language>) -> Presentation {
    Presentation { language, unit: "₽".to_owned(), target: Column::Price, model: "price 7".to_owned() }
}

fn valued(bytes: &[u8], language: Option<Language>) -> (Vec<u8>, ValuedTable) {
    let mut output = Cursor::new(Vec::new());
    let presentation = presentation(language);
    let valuer = Valuer { presentation: Some(&presentation), ..valuer(&price) };
    let table = value_table(Source::bytes("cars.xlsx", bytes), &mut output, Options::default(), &valuer).unwrap();
    (output.into_inner(), table)
}

fn part(workbook: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(workbook)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Cars of a dealer: two that can be valued, one that cannot.
fn cars(add: impl FnOnce(&mut rust_xlsxwriter::Worksheet)) -> Vec<u8> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet().set_name("Склад").unwrap();
    row(sheet, 1, &["№", "Марка ТС", "Г.в.", "Пробег, тыс. км", "Цена, ₽", "VIN"]);
    let money = Format::new().set_num_format("#,##0");
    for (index, (make, year, mileage, price)) in
        [("Kia", 2018.0, 83.0, 900_000.0), ("Kiaa", 2018.0, 10.0, 500_000.0), ("Lada", 2015.0, 120.0, 700_000.0)]
            .into_iter()
            .enumerate()
    {
        let number = u32::try_from(index).unwrap() + 2;
        row(sheet, number, &[&(index + 1).to_string(), make]);
        sheet.write_number(number, 2, year).unwrap();
        sheet.write_number(number, 3, mileage).unwrap();
        sheet.write_number_with_format(number, 4, price, &money).unwrap();
        sheet.write_string(number, 5, "=HYPERLINK(\"x\")").unwrap();
    }
    add(sheet);
    book.save_to_buffer().unwrap()
}

fn rows(workbook: &[u8], sheet: &str) -> Vec<Vec<Data>> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(workbook)).unwrap();
    workbook.worksheet_range(sheet).unwrap().rows().map(<[Data]>::to_vec).collect()
}

#[test]
fn results_are_in_the_language_of_the_sheet_with_a_summary() {
    let (output, table) = valued(&cars(|_| {}), None);
    assert_eq!((table.counts.rows, table.counts.valued), (3, 2));
    assert_eq!(table.header.unrecognized(), ["№", "VIN"]);
    let cells = rows(&output, "Склад");
    let headers: Vec<String> = cells[0][6..].iter().map(ToString::to_string).collect();
    assert_eq!(headers, ["Оценка, ₽", "Оценка от, ₽", "Оценка до, ₽", "Статус оценки", "Цена минус оценка, ₽"]);
    assert_eq!(cells[1][6..9], [830_000.0, 829_999.0, 830_001.0].map(Data::Float));
    assert_eq!((&cells[1][9], &cells[1][10]), (&Data::String("ок".into()), &Data::Float(70_000.0)));
    assert_eq!(cells[2][9].to_string(), "марка «Kiaa»: нет среди известных (может быть, «kia»?)");
    assert_eq!((&cells[2][6], &cells[2][10]), (&Data::Empty, &Data::Empty));
    let summary = rows(&output, "Итоги оценки");
    let value =
        |label: &str| summary.iter().find(|row| row[0] == Data::String(label.to_owned())).map(|row| row[1].to_string());
    for (label, expected) in [
        ("Модель", "price 7"),
        ("Строк", "3"),
        ("Оценено", "2"),
        ("Сумма оценок, ₽", "2030000"),
        ("Медиана оценок, ₽", "1015000"),
        ("Сумма цен оцененных строк, ₽", "1600000"),
        ("Сумма цен минус сумма оценок, ₽", "-430000"),
        ("Марка ТС", "марка"),
        ("Пробег, тыс. км", "пробег"),
        ("VIN", "не использован"),
        ("№", "не использован"),
    ] {
        assert_eq!(value(label).as_deref(), Some(expected), "{label}");
    }
    let (output, _) = valued(&cars(|_| {}), Some(Language::English));
    assert_eq!(rows(&output, "Склад")[0][6].to_string(), "Estimate, ₽");
    assert_eq!(rows(&output, "Valuation summary")[1][0].to_string(), "Rows");
}

#[test]
fn amounts_have_a_number_format() {
    let (output, _) = valued(&cars(|_| {}), None);
    let styles = part(&output, "xl/styles.xml");
    let formats = styles.split("<cellXfs").nth(1).unwrap().split("</cellXfs>").next().unwrap();
    let index = formats.matches("<xf ").count() - 1;
    assert!(formats.contains(&format!("count=\"{}\"", index + 1)), "{formats}");
    assert!(formats.rsplit("<xf ").next().unwrap().starts_with("numFmtId=\"3\""), "{formats}");
    let sheet = part(&output, "xl/worksheets/sheet1.xml");
    assert!(sheet.contains(&format!("<c r=\"G3\" s=\"{index}\"><v>830000</v></c>")), "{sheet}");
}

#[test]
fn filters_and_tables_span_the_new_columns() {
    let filtered = cars(|sheet| {
        sheet.autofilter(1, 0, 4, 5).unwrap();
    });
    let (output, _) = valued(&filtered, None);
    assert!(part(&output, "xl/worksheets/sheet1.xml").contains("<autoFilter ref=\"A2:K5\""));
    let narrow = cars(|sheet| {
        sheet.autofilter(1, 0, 4, 3).unwrap();
    });
    let (output, _) = valued(&narrow, None);
    assert!(part(&output, "xl/worksheets/sheet1.xml").contains("<autoFilter ref=\"A2:D5\""), "it ends elsewhere");
    let with_table = cars(|sheet| {
        let columns = ["№", "Марка ТС", "Г.в.", "Пробег, тыс. км", "Цена, ₽", "VIN"];
        let columns: Vec<TableColumn> = columns.map(|name| TableColumn::new().set_header(name)).into();
        sheet.add_table(1, 0, 4, 5, &Table::new().set_columns(&columns)).unwrap();
    });
    let (output, _) = valued(&with_table, None);
    let table = part(&output, "xl/tables/table1.xml");
    assert_eq!(table.matches("ref=\"A2:K5\"").count(), 2, "{table}");
    assert!(table.contains("<tableColumns count=\"11\">"), "{table}");
    assert!(table.contains("<tableColumn id=\"7\" name=\"Оценка, ₽\"/>"), "{table}");
}

#[test]
fn a_result_can_be_valued_again() {
    let (once, _) = valued(&cars(|_| {}), None);
    let (twice, table) = valued(&once, None);
    assert_eq!((table.counts.rows, table.counts.valued), (3, 2));
    let headers: Vec<String> = rows(&twice, "Склад")[0].iter().map(ToString::to_string).collect();
    assert_eq!(headers[11..13], ["Оценка, ₽ (2)".to_owned(), "Оценка от, ₽ (2)".to_owned()]);
    assert!(!rows(&twice, "Итоги оценки 2").is_empty(), "the earlier summary stays");
}

#[test]
fn a_csv_for_people_has_their_headers_and_the_difference() {
    let mut output = Vec::new();
    let presentation = presentation(None);
    let valuer = Valuer { presentation: Some(&presentation), ..valuer(&price) };
    let csv = "Марка;Год;Пробег;Цена\nKia;2018;83000;900000\nKiaa;2018;1;1\n";
    let source = Source::bytes("cars.csv", csv.as_bytes());
    value_table(source, Cursor::new(&mut output), Options::default(), &valuer).unwrap();
    let expected =
        "Марка;Год;Пробег;Цена;\"Оценка, ₽\";\"Оценка от, ₽\";\"Оценка до, ₽\";Статус оценки;\"Цена минус оценка, ₽\"";
    let text = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0].replace('"', ""), expected.replace('"', ""));
    assert!(lines[1].ends_with(";ок;70000"), "{text}");
    assert!(lines[2].starts_with("Kiaa;2018;1;1;;;;") && lines[2].ends_with(';'), "{text}");
}
