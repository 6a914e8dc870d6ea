//! Malicious files: excessive or inconsistent.

use std::time::{Duration, Instant};

use chrono::{Days, NaiveDate};
use domain::Cell;
use proptest::prelude::*;
use tables::{Limits, Row, TableError};

use crate::fixtures::{SHEET, open, parts_of, repeat, row, rows, sheet_xml, with_part, workbook, zip_of};

fn reject(bytes: &[u8]) -> TableError {
    let started = Instant::now();
    let error = rows("cars.xlsx", bytes, Limits::default()).unwrap_err();
    assert!(error.is_invalid_file(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{error}");
    error
}

const HEADER: &str = "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>brand</t></is></c>\
    <c r=\"B1\" t=\"inlineStr\"><is><t>year</t></is></c><c r=\"C1\" t=\"inlineStr\"><is><t>mileage</t></is></c></row>";

fn sheet(rows: &str) -> Vec<u8> {
    with_part(SHEET, &sheet_xml(&format!("{HEADER}{rows}")))
}

#[test]
fn a_cell_in_the_last_corner_is_rejected_cheaply() {
    let error = reject(&sheet("<row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>"));
    assert!(error.is_too_large());
    assert!(error.to_string().contains("cell XFD1048576 is beyond the limit of 256 columns"), "{error}");
    // A cell with only a format is ignored.
    let bytes = sheet("<row r=\"1048576\"><c r=\"XFD1048576\" s=\"1\"/></row>");
    assert_eq!(rows("cars.xlsx", &bytes, Limits::default()).unwrap().len(), 0);
}

#[test]
fn zip_bombs_are_detected_while_inflating() {
    let bomb = with_part("xl/worksheets/sheet2.xml", format!("<a>{}</a>", "<b/>".repeat(2_000_000)).as_bytes());
    assert!(bomb.len() < 50_000);
    let error = reject(&bomb);
    assert!(error.is_too_large() && error.to_string().contains("compression ratio above 200"), "{error}");

    let limits = Limits { max_inflated_bytes: 10_000, ..Limits::default() };
    let good = workbook(|sheet| row(sheet, 0, &["brand", "year", "mileage"]));
    let error = rows("cars.xlsx", &good, limits).unwrap_err();
    assert!(error.is_too_large() && error.to_string().contains("inflates to more than 10000 bytes"), "{error}");
}

#[test]
fn parts_texts_and_cells_are_limited() {
    let mut parts = vec![("xl/workbook.xml".to_owned(), Vec::new())];
    parts.extend((0..5_000).map(|number| (format!("xl/media/{number}"), Vec::new())));
    assert!(reject(&zip_of(&parts)).to_string().contains("has 5001 parts; at most 2000 are accepted"));

    let long = format!("<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>{}</t></is></c></row>", "ab1 ".repeat(10_000));
    let error = reject(&sheet(&long));
    assert!(error.is_too_large() && error.to_string().contains("A2 has more than 32767 characters"), "{error}");

    let limits = Limits { max_cells: 5, ..Limits::default() };
    let cells = "<row r=\"2\"><c r=\"A2\"/><c r=\"B2\"/><c r=\"C2\"/></row>";
    assert!(rows("cars.xlsx", &sheet(cells), limits).unwrap_err().is_too_large());
}

#[test]
fn a_false_text_count_does_not_allocate() {
    let claim_count = |count: &str| {
        let texts = format!("<sst uniqueCount=\"{count}\"><si><t>brand</t></si></sst>");
        with_part("xl/sharedStrings.xml", texts.as_bytes())
    };
    let error = reject(&claim_count("18446744073709551615"));
    assert!(!error.is_too_large() && error.to_string().contains("count of shared strings is not a number"), "{error}");
    assert!(reject(&claim_count("4294967295")).to_string().contains("refers to a missing shared string"));
}

#[test]
fn ambiguous_packages_are_rejected() {
    let assert_damaged = |bytes: &[u8], how: &str| {
        let error = reject(bytes);
        assert!(!error.is_too_large() && error.to_string().contains(how), "{error}");
    };
    assert_damaged(
        &with_part("xl/sharedStrings.xml", b"<sst \x0ccount=\"1\"></sst>"),
        "has a name that XML does not allow",
    );
    assert_damaged(
        &with_part("xl/styles.xml", b"<styleSheet><x/:xf/></styleSheet>"),
        "has a name that XML does not allow",
    );
    assert_damaged(&with_part("xl/theme/theme1.xml", b"<a b='1' b='2'/>"), "has a tag with a duplicate attribute");
    assert_damaged(&with_part("xl/theme/theme1.xml", b"<a:b/>"), "has an undeclared namespace prefix");
    assert_damaged(&with_part("docProps/app.xml", b"<a b='<'/>"), "has a malformed attribute");
    assert_damaged(&with_part(SHEET, b"<worksheet><sheetData>"), "is truncated");
    assert_damaged(&with_part("XL/Worksheets/Sheet1.xml", b"<worksheet/>"), "two parts have the name");
    assert_damaged(&with_part("xl\\worksheets\\sheet1.xml", b"<worksheet/>"), "two parts have the name");
    let twice = "<workbook xmlns:b=\"b\" xmlns:c=\"c\"><sheets><sheet name=\"a\" b:id=\"rId1\" c:id=\"rId2\"/></sheets></workbook>";
    assert_damaged(&with_part("xl/workbook.xml", twice.as_bytes()), "more than one relationship id");
    let workbook = "<Relationship Id=\"r\" Type=\"a/officeDocument\" Target=\"xl/workbook.xml\"/>";
    let twice = format!("<Relationships>{workbook}{}</Relationships>", workbook.replace("\"r\"", "\"s\""));
    assert_damaged(&with_part("_rels/.rels", twice.as_bytes()), "there must be exactly one workbook part");
    let sheet = "<Relationship Id=\"rId1\" Type=\"a/worksheet\" Target=\"worksheets/sheet1.xml\"/>";
    let twice = format!("<Relationships>{sheet}{sheet}</Relationships>");
    assert_damaged(&with_part("xl/_rels/workbook.xml.rels", twice.as_bytes()), "has a duplicate id");
    let deep = reject(&with_part("docProps/app.xml", "<a>".repeat(300).as_bytes()));
    assert!(deep.is_too_large() && deep.to_string().contains("nested more than 256 levels deep"), "{deep}");
}

/// A ZIP directory may list a name twice, and a local header may disagree with it.
#[test]
fn conflicting_part_names_are_rejected() {
    let good = zip_of(&[("xl/workbook.xml".to_owned(), Vec::new()), ("xl/workbook.xmm".to_owned(), Vec::new())]);
    let rename = |entries: &[usize]| {
        let mut bytes = good.clone();
        let names: Vec<usize> = (0..bytes.len() - 3).filter(|at| bytes[*at..].starts_with(b"xmm")).collect();
        for entry in entries {
            bytes[names[*entry] + 2] = b'l';
        }
        bytes
    };
    let error = reject(&rename(&[0, 1])).to_string();
    assert!(error.contains("two parts have the same name"), "{error}");
    let error = reject(&rename(&[0])).to_string();
    assert!(error.contains("disagree on the name of a part"), "{error}");
}

#[test]
fn list_limits_apply_in_any_part() {
    let name = |id: usize| format!("<definedName name=\"n{id}\">{:x}</definedName>", id.wrapping_mul(0x9E37_79B9));
    let names: String = (0..40_000).map(name).collect();
    let workbook = format!("<worksheet><workbook><sheets/><definedNames>{names}</definedNames></workbook></worksheet>");
    let error = reject(&with_part("xl/workbook.xml", workbook.as_bytes()));
    assert!(error.is_too_large() && error.to_string().contains("larger than 1 MiB"), "{error}");
}

#[test]
fn memory_is_limited() {
    let noise = |seed: usize| format!("{:x}", seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let reject_with = |bytes: &[u8], limits: Limits| {
        let error = rows("cars.xlsx", bytes, limits).unwrap_err();
        assert!(error.is_too_large(), "{error}");
        error.to_string()
    };
    let texts = repeat(200_000, |id| format!("<si><t>{}</t></si>", noise(id)));
    let texts = with_part("xl/sharedStrings.xml", format!("<sst>{texts}</sst>").as_bytes());
    let error = reject_with(&texts, Limits { max_shared_bytes: 2 << 20, ..Limits::default() });
    assert!(error.contains("shared strings take more than"), "{error}");
    let formats = repeat(150_000, |id| format!("<xf numFmtId=\"{id}\"/>"));
    let formats = format!("<styleSheet><cellXfs>{formats}</cellXfs></styleSheet>");
    let error = reject_with(&with_part("xl/styles.xml", formats.as_bytes()), Limits::default());
    assert!(error.contains("more than 100000 formats"), "{error}");
    let comment = format!("<!-- {} -->", repeat(20_000, |id| format!("<{}>", noise(id))));
    let error = reject_with(&with_part(SHEET, &sheet_xml(&comment)), Limits::default());
    assert!(error.contains("a comment longer than 64 KiB"), "{error}");
    let runs = repeat(60_000, |id| format!("<r><t>{}</t></r>", noise(id)));
    let runs = sheet(&format!("<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is>{runs}</is></c></row>"));
    assert!(reject_with(&runs, Limits::default()).contains("A2 has more than 32767 characters"));
    let elements = with_part("xl/a.xml", format!("<a>{}</a>", "<b/>".repeat(1000)).as_bytes());
    let error = reject_with(&elements, Limits { max_elements: 1000, ..Limits::default() });
    assert!(error.contains("has too many elements"), "{error}");
}

#[test]
fn sheets_must_be_distinct_parts() {
    let workbook = |sheets: &str| {
        format!(
            "<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets>{sheets}\
             </sheets></workbook>"
        )
    };
    let twice = "<sheet name=\"a\" sheetId=\"1\" r:id=\"rId1\"/><sheet name=\"b\" sheetId=\"2\" r:id=\"rId1\"/>";
    let error = reject(&with_part("xl/workbook.xml", workbook(twice).as_bytes()));
    assert!(error.to_string().contains("two sheets are the same part"), "{error}");
    let sheets = repeat(600, |id| format!("<sheet name=\"{id}\" sheetId=\"{id}\" r:id=\"rId{id}\"/>"));
    let error = reject(&with_part("xl/workbook.xml", workbook(&sheets).as_bytes()));
    assert!(error.to_string().contains("more than 512 sheets"), "{error}");
    let picture = "<Relationships><Relationship Id=\"rId1\" Type=\"worksheet\" Target=\"worksheets/sheet1.PNG\"/></Relationships>";
    let error = reject(&with_part("xl/_rels/workbook.xml.rels", picture.as_bytes()));
    assert!(error.to_string().contains("a sheet is not XML"), "{error}");
}

#[test]
fn inconsistent_directories_are_rejected() {
    let mut bytes = zip_of(&[
        ("xl/workbook.xml".to_owned(), b"<workbook/>".to_vec()),
        (
            "xl/media/a.png".to_owned(),
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect(),
        ),
        (
            "xl/media/b.png".to_owned(),
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect(),
        ),
    ]);
    // Remove half of the bytes, which the directory still counts.
    let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes.drain(directory / 2..directory);
    assert!(reject(&bytes).to_string().contains("damaged"));
    let end = bytes.len() - 22;
    bytes[end + 10..end + 12].copy_from_slice(&u16::MAX.to_le_bytes());
    assert!(reject(&bytes).to_string().contains("has 65535 parts"));
}

/// Found by fuzzing: the signature of an end record may occur elsewhere.
#[test]
fn a_stray_end_record_signature_is_ignored() {
    let good = workbook(|sheet| row(sheet, 0, &["brand", "year", "mileage"]));
    let mut parts = parts_of(&good);
    parts.push(("xl/PK\u{5}\u{6}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}.png".to_owned(), vec![1]));
    assert!(open("cars.xlsx", &zip_of(&parts)).is_ok());
}

/// A row whose first cell contains this number, formatted as a date or not.
fn number_cell(number: &str, is_date: bool) -> Row {
    let styles = "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>";
    let style = u8::from(is_date);
    let cells = format!("{HEADER}<row r=\"2\"><c r=\"A2\" s=\"{style}\"><v>{number}</v></c></row>");
    let mut parts = parts_of(&with_part(SHEET, &sheet_xml(&cells)));
    parts.retain(|(name, _)| name != "xl/styles.xml");
    parts.push(("xl/styles.xml".to_owned(), styles.into()));
    let mut rows = rows("cars.xlsx", &zip_of(&parts), Limits::default()).unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// Serial numbers that are dates: after the fictitious leap day of 1900 and up to the year 9999.
const DATE_NUMBERS: std::ops::Range<f64> = 61.0..2_958_466.0;

fn check_number_cell(number: f64, is_date: bool) {
    let row = number_cell(&format!("{number:?}"), is_date);
    match row.cell(0) {
        Cell::Number(actual) => {
            assert!(actual.to_bits() == number.to_bits() || (actual.is_nan() && number.is_nan()), "{actual} {number}");
            assert!(!is_date || !DATE_NUMBERS.contains(&number), "{number} is a date");
        }
        Cell::Date(date) if is_date && DATE_NUMBERS.contains(&number) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range above")]
            let days = Days::new((number + 1e-8).floor() as u64);
            assert_eq!(date, NaiveDate::from_ymd_opt(1899, 12, 30).unwrap() + days);
        }
        Cell::Date(_) => assert!(is_date && (1.0..DATE_NUMBERS.start).contains(&number), "{number} is not a date"),
        other => panic!("{number} is read as {other:?}"),
    }
}

#[test]
fn extreme_numbers_are_numbers() {
    for number in [1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, -5.0, 0.0, 2_958_466.0]
    {
        check_number_cell(number, false);
        check_number_cell(number, true);
    }
    // Overflows double precision.
    assert!(matches!(number_cell("1e999", true).cell(0), Cell::Number(number) if number.is_infinite()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_are_read_in_any_format(number in any::<f64>(), day in 0.5..2_958_470.0_f64, is_date: bool) {
        check_number_cell(number, is_date);
        check_number_cell(day, is_date);
    }
}

#[test]
fn long_texts_are_truncated_in_rows() {
    let long = "ж".repeat(30_000);
    let bytes = workbook(|sheet| {
        row(sheet, 0, &["brand", "year", "mileage", "note"]);
        (1..500).for_each(|number| row(sheet, number, &[&long, "2018", "5", &long]));
    });
    let rows = rows("cars.xlsx", &bytes, Limits::default()).unwrap();
    assert_eq!(rows.len(), 499);
    let size: usize = rows.iter().map(|row| format!("{row:?}").len()).sum();
    assert!(size < 499 * 1000, "{size}");
}

#[test]
fn error_messages_truncate_headers() {
    let headers: Vec<String> = (0..250).map(|column| format!("{column}{}", "x".repeat(5_000))).collect();
    let bytes = workbook(|sheet| row(sheet, 0, &headers.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(reject(&bytes).to_string().len() < 5_000);
}

#[test]
fn document_types_are_rejected() {
    let xml = "<?xml version=\"1.0\"?><!DOCTYPE w [<!ENTITY a \"b\">]><worksheet><sheetData/></worksheet>";
    let error = reject(&with_part(SHEET, xml.as_bytes()));
    assert!(error.to_string().contains("xl/worksheets/sheet1.xml has a document type definition"), "{error}");
}

#[test]
fn damaged_files_are_reported_as_such() {
    let good = workbook(|sheet| row(sheet, 0, &["brand", "year", "mileage"]));
    for cut in [good.len() / 2, good.len() - 10, 30] {
        assert!(reject(&good[..cut]).to_string().contains("damaged"));
    }
    let no_workbook = zip_of(&[("xl/worksheets/sheet1.xml".to_owned(), sheet_xml(""))]);
    assert!(reject(&no_workbook).to_string().contains("without the part xl/workbook.xml"));
    let out_of_order = sheet("<row r=\"5\"><c r=\"A5\"><v>1</v></c></row><row r=\"3\"><c r=\"A3\"><v>1</v></c></row>");
    assert!(reject(&out_of_order).to_string().contains("out of order at row 3"));
    assert!(reject(&with_part(SHEET, b"<worksheet><sheetData><row><c>")).to_string().contains("damaged"));
    let zip = zip_of(&[("readme.txt".to_owned(), Vec::new())]);
    assert!(reject(&zip).to_string().contains("a ZIP archive without a workbook"));
}

#[test]
fn formulas_without_a_value_are_errors() {
    let bytes = sheet("<row r=\"2\"><c r=\"A2\"><f>1+1</f></c></row>");
    let table = open("cars.xlsx", &bytes).unwrap();
    let row = rows("cars.xlsx", &bytes, Limits::default()).unwrap().remove(0);
    let rejections = row.listing(table.header(), crate::fixtures::today()).unwrap_err();
    assert_eq!(rejections[0].reason, "contains an error instead of a value");
}
