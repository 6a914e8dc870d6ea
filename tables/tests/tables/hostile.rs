//! Files that would cost too much or that lie.

use std::time::{Duration, Instant};

use tables::{Limits, TableError};

use crate::made::{SHEET, open, row, rows, sheet_xml, with_part, workbook, zip_of};

fn refused(bytes: &[u8]) -> TableError {
    let started = Instant::now();
    let error = rows("cars.xlsx", bytes, Limits::default()).unwrap_err();
    assert!(error.is_users_fault(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{error}");
    error
}

const HEADER: &str = "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>brand</t></is></c>\
    <c r=\"B1\" t=\"inlineStr\"><is><t>year</t></is></c><c r=\"C1\" t=\"inlineStr\"><is><t>mileage</t></is></c></row>";

fn sheet(rows: &str) -> Vec<u8> {
    with_part(SHEET, &sheet_xml(&format!("{HEADER}{rows}")))
}

#[test]
fn a_cell_in_the_last_corner_costs_nothing() {
    let error = refused(&sheet("<row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>"));
    assert!(error.is_too_large());
    assert!(error.to_string().contains("the cell XFD1048576 lies beyond 256 columns"), "{error}");
    // a cell that is only formatted is none
    let bytes = sheet("<row r=\"1048576\"><c r=\"XFD1048576\" s=\"1\"/></row>");
    assert_eq!(rows("cars.xlsx", &bytes, Limits::default()).unwrap().len(), 0);
}

#[test]
fn bombs_are_counted_while_they_inflate() {
    let bomb = with_part("xl/worksheets/sheet2.xml", &vec![b'<'; 50 << 20]);
    assert!(bomb.len() < 200_000);
    let error = refused(&bomb);
    assert!(error.is_too_large() && error.to_string().contains("inflates more than 400 times"), "{error}");

    let limits = Limits { max_inflated_bytes: 10_000, ..Limits::default() };
    let good = workbook(|sheet| row(sheet, 0, &["brand", "year", "mileage"]));
    let error = rows("cars.xlsx", &good, limits).unwrap_err();
    assert!(error.is_too_large() && error.to_string().contains("inflates to more than 10000 bytes"), "{error}");
}

#[test]
fn too_many_parts_texts_and_cells() {
    let mut parts = vec![("xl/workbook.xml".to_owned(), Vec::new())];
    parts.extend((0..5_000).map(|number| (format!("xl/media/{number}"), Vec::new())));
    assert!(refused(&zip_of(&parts)).to_string().contains("has 5001 parts, 2000 are accepted"));

    let long = format!("<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>{}</t></is></c></row>", "ab1 ".repeat(10_000));
    let error = refused(&sheet(&long));
    assert!(error.is_too_large() && error.to_string().contains("A2 holds more than 32767 characters"), "{error}");

    let limits = Limits { max_cells: 5, ..Limits::default() };
    let cells = "<row r=\"2\"><c r=\"A2\"/><c r=\"B2\"/><c r=\"C2\"/></row>";
    assert!(rows("cars.xlsx", &sheet(cells), limits).unwrap_err().is_too_large());
}

#[test]
fn a_table_of_texts_that_claims_too_many() {
    let claim = "<?xml version=\"1.0\"?><sst uniqueCount=\"18446744073709551615\"></sst>";
    let error = refused(&with_part("xl/sharedStrings.xml", claim.as_bytes()));
    assert!(error.is_too_large() && error.to_string().contains("claims more texts"), "{error}");
}

#[test]
fn a_document_type_is_refused() {
    let xml = "<?xml version=\"1.0\"?><!DOCTYPE w [<!ENTITY a \"b\">]><worksheet><sheetData/></worksheet>";
    let error = refused(&with_part(SHEET, xml.as_bytes()));
    assert!(error.to_string().contains("xl/worksheets/sheet1.xml holds a document type definition"), "{error}");
}

#[test]
fn damage_is_told_as_damage() {
    let good = workbook(|sheet| row(sheet, 0, &["brand", "year", "mileage"]));
    for cut in [good.len() / 2, good.len() - 10, 30] {
        assert!(refused(&good[..cut]).to_string().contains("damaged"));
    }
    let no_workbook = zip_of(&[("xl/worksheets/sheet1.xml".to_owned(), sheet_xml(""))]);
    assert!(refused(&no_workbook).to_string().contains("without its part xl/workbook.xml"));
    let disorder = sheet("<row r=\"5\"><c r=\"A5\"><v>1</v></c></row><row r=\"3\"><c r=\"A3\"><v>1</v></c></row>");
    assert!(refused(&disorder).to_string().contains("out of order at row 3"));
    assert!(refused(&with_part(SHEET, b"<worksheet><sheetData><row><c>")).to_string().contains("damaged"));
    let zip = zip_of(&[("readme.txt".to_owned(), Vec::new())]);
    assert!(refused(&zip).to_string().contains("a ZIP archive that holds no workbook"));
}

#[test]
fn a_formula_without_a_value_is_no_value() {
    let bytes = sheet("<row r=\"2\"><c r=\"A2\"><f>1+1</f></c></row>");
    let table = open("cars.xlsx", &bytes).unwrap();
    let row = rows("cars.xlsx", &bytes, Limits::default()).unwrap().remove(0);
    let rejections = row.listing(table.header(), crate::made::today()).unwrap_err();
    assert_eq!(rejections[0].reason, "holds an error instead of a value");
}
