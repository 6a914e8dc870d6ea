//! Valuing tables.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use calamine::{Data, Reader, Xlsx};
use chrono::NaiveDate;
use domain::{Column, Listing, Valuation, Warning};
use rust_xlsxwriter::{Format, Formula, Workbook};
use tables::{Limits, Options, Rejection, Source, Stripe, ValueError, ValuedCounts, Valuer, value_stripe, value_table};

use crate::fixtures::{read_sheet, row, today, with_part, workbook};

/// A price that identifies its row: ten times the mileage.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a valuer")]
pub fn price(listings: Vec<Listing>) -> Result<Vec<Valuation>, Infallible> {
    assert!(listings.len() <= 1024);
    let value = |listing: Listing| {
        let price = listing.number(Column::Mileage).unwrap() * 10.0 + 0.4;
        let mut warning = Warning::new("unknown_value", Some(Column::Brand), Vec::new());
        "unknown brand".clone_into(&mut warning.message);
        let warnings = if listing.text(Column::Brand) == Some("Kia") { vec![] } else { vec![warning] };
        let (low, high) = (price - 1.0, price + 1.0);
        Valuation {
            price,
            low,
            high,
            level: 0.8,
            quantiles: vec![low, price, high],
            as_of: today(),
            market_as_of: None,
            warnings,
        }
    };
    Ok(listings.into_iter().map(value).collect())
}

/// The refusal of one make.
fn refuse(listing: &mut Listing) -> Option<Rejection> {
    let unknown = || Rejection::unknown_make("Kiaa", "brand \"Kiaa\" is not known", Some("kia".to_owned()));
    (listing.text(Column::Brand) == Some("Kiaa")).then(unknown)
}

pub fn valuer<E>(value: &(dyn Fn(Vec<Listing>) -> Result<Vec<Valuation>, E> + Sync)) -> Valuer<'_, E> {
    Valuer { today: today(), threads: 3, admit: &refuse, presentation: None, observe: None, value }
}

pub fn valued(name: &str, bytes: &[u8]) -> (Vec<u8>, ValuedCounts) {
    let mut output = Cursor::new(Vec::new());
    let source = Source::bytes(name, bytes);
    let summary = value_table(source, &mut output, Options::default(), &valuer(&price)).unwrap();
    (output.into_inner(), summary.counts)
}

#[test]
fn shares_of_a_table_make_up_the_whole() {
    let mut text = "\u{feff}brand,year,mileage,note\n".to_owned();
    for mileage in 0..5000 {
        // Blank lines and rows of several lines, also where batches begin and end.
        let (blank, note) = (if mileage % 7 == 0 { "\n" } else { "" }, if mileage % 5 == 0 { "\"a\nb\"" } else { "a" });
        writeln!(text, "{blank}Kia,2018,{mileage},{note}").unwrap();
    }
    let (whole, counts) = valued("cars.csv", text.as_bytes());
    for count in [1, 2, 3, 8] {
        let shares: Vec<_> = (0..count)
            .map(|index| {
                let (source, stripe) = (Source::bytes("cars.csv", text.as_bytes()), Stripe { index, count });
                let mut output = Vec::new();
                let valued = value_stripe(source, &mut output, Options::default(), &valuer(&price), stripe);
                let (table, sizes) = valued.unwrap();
                (output, sizes, table.counts)
            })
            .collect();
        let total = shares.iter().map(|(_, _, counts)| counts.valued).sum::<u64>();
        assert_eq!(total, counts.valued);
        let (mut together, mut positions) = (Vec::<u8>::new(), vec![0; count]);
        for batch in 0.. {
            let (output, sizes, _) = &shares[batch % count];
            let Some(size) = sizes.get(batch / count).copied() else { break };
            let start = positions[batch % count];
            positions[batch % count] += usize::try_from(size).unwrap();
            together.extend(&output[start..positions[batch % count]]);
        }
        assert!(together == whole, "{count} shares differ from the whole");
    }
    let error = value_stripe(
        Source::bytes("cars.xlsx", &dealers_workbook()),
        Vec::new(),
        Options::default(),
        &valuer(&price),
        Stripe { index: 0, count: 2 },
    );
    assert!(error.unwrap_err().to_string().contains("only CSV files"));
}

fn dealers_workbook() -> Vec<u8> {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Титул").unwrap().write_string(0, 0, "=cmd|' /C calc'!A0").unwrap();
    let sheet = book.add_worksheet().set_name("Авто").unwrap();
    let bold = Format::new().set_bold();
    sheet.write_string(0, 0, "Склад").unwrap();
    row(sheet, 1, &["Марка", "Год", "Пробег", "predict_value", "Дата", "Артикул"]);
    sheet.write_string_with_format(1, 6, "Заметка", &bold).unwrap();
    row(sheet, 2, &["Kia", "2018", "", "", "", "007", "=1+1"]);
    sheet.write_number(2, 2, 83_000).unwrap();
    sheet.write_boolean(2, 3, true).unwrap();
    let date = Format::new().set_num_format("dd.mm.yyyy");
    sheet.write_date_with_format(2, 4, NaiveDate::from_ymd_opt(2026, 3, 17).unwrap(), &date).unwrap();
    row(sheet, 4, &["Lada", "1800", "5"]);
    sheet.write_formula(5, 2, Formula::new("=C3+1").set_result("83001")).unwrap();
    row(sheet, 5, &["Lada", "2018"]);
    sheet.write_formula(5, 6, Formula::new("=NA()").set_result("#N/A")).unwrap();
    sheet.merge_range(8, 0, 8, 2, "Итого", &bold).unwrap();
    book.save_to_buffer().unwrap()
}

#[test]
fn workbooks_are_returned_with_prices() {
    let input = dealers_workbook();
    let (output, summary) = valued("cars.xlsx", &input);
    assert_eq!(summary, ValuedCounts { rows: 4, valued: 2 });
    let (before, after) = (read_sheet(&input, "Авто"), read_sheet(&output, "Авто"));
    for (row, column, cell) in before.cells() {
        assert_eq!(after.get((row, column)), Some(cell), "row {row}, column {column}");
    }
    let added = |row: u32| -> Vec<Data> {
        (7..11).map(|column| after.get_value((row, column)).cloned().unwrap_or_default()).collect()
    };
    let text = |text: &str| Data::String(text.to_owned());
    let titles = ["predict_value (2)", "predict_low", "predict_high", "predict_status"].map(text);
    assert_eq!(added(1), titles);
    assert_eq!(added(2), [Data::Float(830_000.0), Data::Float(829_999.0), Data::Float(830_001.0), text("ok")]);
    let empty = || Data::Empty;
    assert_eq!(added(3), [empty(), empty(), empty(), empty()]);
    let status = text("year must be between 1900 and 2027 (got \"1800\")");
    assert_eq!(added(4), [empty(), empty(), empty(), status]);
    assert_eq!(added(5)[3], text("ok: unknown brand"));
    assert_eq!(added(8)[3], text("year is required and is missing; mileage is required and is missing"));
    assert_eq!(after.end(), Some((8, 10)));
}

#[test]
fn other_parts_and_formulas_are_unchanged() {
    let input = dealers_workbook();
    let (output, _) = valued("cars.xlsx", &input);
    let mut workbook = Xlsx::new(Cursor::new(&output)).unwrap();
    assert_eq!(workbook.sheet_names(), ["Титул", "Авто"]);
    let formulas = workbook.worksheet_formula("Авто").unwrap();
    assert_eq!(formulas.get_value((5, 2)), Some(&"C3+1".to_owned()));
    assert_eq!(formulas.cells().filter(|cell| !cell.2.is_empty()).count(), 2);
    assert_eq!(read_sheet(&input, "Титул"), read_sheet(&output, "Титул"));
    let parts = |bytes: &[u8]| -> Vec<(String, u32)> {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let indices = 0..archive.len();
        indices
            .map(|index| archive.by_index(index).map(|e| (e.name().unwrap().into_owned(), e.crc32())).unwrap())
            .collect()
    };
    let changed: Vec<_> =
        parts(&input).into_iter().zip(parts(&output)).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
    assert_eq!(changed, ["xl/worksheets/sheet2.xml"]);
}

#[test]
fn rows_stay_in_order() {
    let input = workbook(|sheet| {
        row(sheet, 0, &["brand", "year", "mileage"]);
        for number in 1..3_000 {
            row(sheet, number, &["Kia", "2018"]);
            sheet.write_number(number, 2, number).unwrap();
        }
    });
    let (output, summary) = valued("cars.xlsx", &input);
    assert_eq!(summary, ValuedCounts { rows: 2_999, valued: 2_999 });
    let sheet = read_sheet(&output, "Sheet1");
    for number in 1..3_000 {
        assert_eq!(sheet.get_value((number, 3)), Some(&Data::Float(f64::from(number) * 10.0)));
    }
}

#[test]
fn csv_keeps_its_delimiter_lines_and_text() {
    let text = "Отчёт\n\nМарка;Год;Пробег;Заметка\r\nKia;2018;1 000;\"a;\nb\"\r\n;;;\nKia;2018\n\nLada;2018;5;=1+1\n";
    let (output, summary) = valued("cars.csv", text.as_bytes());
    assert_eq!(summary, ValuedCounts { rows: 3, valued: 2 });
    let expected = "Отчёт;;;;;;;\n;;;;;;;\n\
        Марка;Год;Пробег;Заметка;predict_value;predict_low;predict_high;predict_status\n\
        Kia;2018;1 000;\"a;\nb\";10000;9999;10001;ok\n;;;;;;;\n\
        Kia;2018;;;;;;the row has 2 fields, the header has 4\n;;;;;;;\n\
        Lada;2018;5;=1+1;50;49;51;ok: unknown brand\n";
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}

#[test]
fn csv_in_another_encoding_is_returned_as_utf_8() {
    let utf16: Vec<u8> = "\u{feff}brand,year,mileage\nKia,2018,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (output, _) = valued("cars.csv", &utf16);
    assert!(output.starts_with("\u{feff}brand,".as_bytes()));
}

#[test]
fn refused_rows_have_a_reason_and_no_price() {
    let text = "brand,year,mileage\nKia,2018,1\nKiaa,2018,2\nKiaa,1800,3\nKia,2018,4\n";
    let (output, summary) = valued("cars.csv", text.as_bytes());
    assert_eq!(summary, ValuedCounts { rows: 4, valued: 2 });
    let expected = "brand,year,mileage,predict_value,predict_low,predict_high,predict_status\n\
        Kia,2018,1,10,9,11,ok\nKiaa,2018,2,,,,\"brand \"\"Kiaa\"\" is not known\"\n\
        Kiaa,1800,3,,,,\"year must be between 1900 and 2027 (got \"\"1800\"\")\"\nKia,2018,4,40,39,41,ok\n";
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}

#[test]
fn valuation_errors_are_distinct_from_table_errors() {
    let fail = |_: Vec<Listing>| Err("the model is gone".to_owned());
    let input = b"brand,year,mileage\nKia,2018,1\n";
    let source = Source::bytes("cars.csv", input);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&fail)).unwrap_err();
    assert!(matches!(error, ValueError::Value(_)));
    let macros = with_part("xl/vbaProject.bin", b"x");
    let source = Source::bytes("cars.xlsm", &macros);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&price)).unwrap_err();
    assert!(error.to_string().contains("a workbook with macros"), "{error}");
}

#[test]
fn a_failed_valuation_stops_reading() {
    let input = workbook(|sheet| {
        row(sheet, 0, &["brand", "year", "mileage"]);
        (1..20_000).for_each(|number| row(sheet, number, &["Kia", "2018", "5"]));
    });
    let fail = |_: Vec<Listing>| Err("the model is gone");
    let source = Source::bytes("cars.xlsx", &input);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&fail)).unwrap_err();
    assert!(matches!(error, ValueError::Value("the model is gone")));
}

#[test]
fn the_first_visible_sheet_is_valued() {
    let book = |is_second_hidden: bool| {
        let mut book = Workbook::new();
        for (name, mileage) in [("Архив", "1"), ("Авто", "2"), ("Ещё", "3")] {
            let sheet = book.add_worksheet().set_name(name).unwrap();
            row(sheet, 0, &["Марка", "Год", "Пробег"]);
            row(sheet, 1, &["Kia", "2018", mileage]);
            sheet.set_active(name == "Ещё");
            sheet.set_hidden(name == "Архив" || name == "Авто" && is_second_hidden);
        }
        book.save_to_buffer().unwrap()
    };
    let (output, _) = valued("cars.xlsx", &book(false));
    assert_eq!(read_sheet(&output, "Авто").get_value((1, 3)), Some(&Data::Float(20.0)));
    assert_eq!(read_sheet(&output, "Архив").end(), Some((1, 2)));
    let (output, _) = valued("cars.xlsx", &book(true));
    assert_eq!(read_sheet(&output, "Ещё").get_value((1, 3)), Some(&Data::Float(30.0)));
}

#[test]
fn hidden_sheets_are_not_valued() {
    let mut book = Workbook::new();
    row(book.add_worksheet(), 0, &["Привет"]);
    let hidden = book.add_worksheet().set_name("Данные").unwrap();
    row(hidden, 0, &["brand", "year", "mileage"]);
    hidden.set_very_hidden(true);
    let input = book.save_to_buffer().unwrap();
    let source = Source::bytes("cars.xlsx", &input);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&price)).unwrap_err();
    assert!(error.to_string().contains("the sheet \"Данные\" has the required columns, but it is hidden"), "{error}");
}

#[test]
fn headers_are_found_in_the_first_hundred_rows() {
    let book = |header: u32| {
        workbook(|sheet| {
            row(sheet, 0, &["ООО «Автосалон»"]);
            row(sheet, header, &["brand", "year", "mileage"]);
            row(sheet, header + 1, &["Kia", "2018", "5"]);
        })
    };
    let (output, _) = valued("cars.xlsx", &book(99));
    assert_eq!(read_sheet(&output, "Sheet1").get_value((100, 3)), Some(&Data::Float(50.0)));
    let input = book(100);
    let source = Source::bytes("cars.xlsx", &input);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&price)).unwrap_err();
    assert!(error.to_string().contains("in the first 100 rows"), "{error}");
}

#[test]
fn excess_rows_are_rejected_before_valuing() {
    let input = |rows: u32| {
        workbook(|sheet| {
            row(sheet, 2, &["brand", "year", "mileage"]);
            (0..rows).for_each(|number| row(sheet, 10 + 2 * number, &["Kia", "2018", "5"]));
            row(sheet, 50_000, &[" "]);
        })
    };
    let options = Options { limits: Limits { max_rows: 600, ..Limits::default() }, ..Options::default() };
    let value = |rows: u32, calls: &AtomicUsize| {
        let count = |listings: Vec<Listing>| {
            calls.fetch_add(1, Ordering::Relaxed);
            price(listings)
        };
        let input = input(rows);
        let source = Source::bytes("cars.xlsx", &input);
        value_table(source, Cursor::new(Vec::new()), options.clone(), &valuer(&count))
    };
    let calls = AtomicUsize::new(0);
    let error = value(601, &calls).unwrap_err();
    assert!(matches!(&error, ValueError::Table(error) if error.is_too_large()), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(value(600, &calls).unwrap().counts, ValuedCounts { rows: 600, valued: 600 });
}

/// Counts written bytes.
struct CountingWriter<'c>(Cursor<Vec<u8>>, &'c AtomicU64);
impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Seek for CountingWriter<'_> {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(position)
    }
}

/// Memory must not grow with the rows: valued rows are written while others are still being read.
#[test]
fn rows_are_written_while_others_are_read() {
    let noise = |seed: u32| format!("{:x}", u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(10);
    let input = workbook(|sheet| {
        row(sheet, 0, &["brand", "year", "mileage", "note"]);
        (1..5_000).for_each(|number| row(sheet, number, &["Lada", "2018", "5", &noise(number)]));
    });
    let written = AtomicU64::new(0);
    let seen = AtomicU64::new(0);
    let value = |listings: Vec<Listing>| {
        seen.fetch_max(written.load(Ordering::Relaxed), Ordering::Relaxed);
        price(listings)
    };
    let output = CountingWriter(Cursor::new(Vec::new()), &written);
    let valuer = Valuer { threads: 1, ..valuer(&value) };
    value_table(Source::bytes("cars.xlsx", &input), output, Options::default(), &valuer).unwrap();
    let (seen, written) = (seen.into_inner(), written.into_inner());
    assert!(seen > written / 4, "{seen} of {written} bytes were written when the last rows were valued");
}
