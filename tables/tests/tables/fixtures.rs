//! Sample files.

use std::io::{Cursor, Read, Write};

use calamine::{Data, Range, Reader, Xlsx};
use chrono::NaiveDate;
use rust_xlsxwriter::{Workbook, Worksheet};
use tables::{Limits, Options, Row, Source, Table, TableError};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

pub fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
}

/// A workbook with one sheet.
pub fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    fill(workbook.add_worksheet());
    workbook.save_to_buffer().unwrap()
}

/// Writes texts as a row.
pub fn row(sheet: &mut Worksheet, number: u32, texts: &[&str]) {
    for (column, text) in (0..).zip(texts) {
        sheet.write_string(number, column, *text).unwrap();
    }
}

/// Concatenates generated pieces of XML.
pub fn repeat(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect()
}

/// A valid workbook of one row with one part added or replaced.
pub fn with_part(name: &str, content: &[u8]) -> Vec<u8> {
    let good = workbook(|sheet| {
        row(sheet, 0, &["brand", "year", "mileage"]);
        row(sheet, 1, &["Kia", "2018", "83000"]);
    });
    let mut parts = parts_of(&good);
    parts.retain(|(stored, _)| stored != name);
    parts.push((name.to_owned(), content.to_vec()));
    zip_of(&parts)
}

/// The names and contents of the parts of a ZIP file.
pub fn parts_of(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let indices = 0..archive.len();
    let part = |index| {
        let mut entry = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    indices.map(part).collect()
}

pub fn zip_of(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The XML of a sheet with this content of `sheetData`.
pub fn sheet_xml(data: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{data}</sheetData></worksheet>"
    )
    .into_bytes()
}

pub const SHEET: &str = "xl/worksheets/sheet1.xml";

pub fn open<'a>(name: &str, bytes: &'a [u8]) -> Result<Table<'a>, TableError> {
    Table::open(Source::bytes(name, bytes), Options::default())
}

/// All rows, or the first error.
pub fn rows(name: &str, bytes: &[u8], limits: Limits) -> Result<Vec<Row>, TableError> {
    let options = Options { limits, ..Options::default() };
    Table::open(Source::bytes(name, bytes), options)?.rows()?.collect()
}

/// Reads a sheet with calamine.
pub fn read_sheet(bytes: &[u8], sheet: &str) -> Range<Data> {
    let mut workbook = Xlsx::new(Cursor::new(bytes)).unwrap();
    workbook.worksheet_range(sheet).unwrap()
}
