//! Converts a CSV to a workbook.

use std::io::{Seek, Write};

use quick_xml::escape::escape;
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;

use crate::delimited::{Delimited, detect_delimiter};
use crate::error::{Fault, TableError};
use crate::format::Format;
use crate::source::Source;
use crate::table::Options;
use crate::workbook::{EXCEL_COLUMNS, column_letters, is_xml_character};

/// The parts of the workbook besides its sheet.
const PARTS: [(&str, &str); 5] = [
    (
        "[Content_Types].xml",
        "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Default Extension=\"rels\" \
         ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" \
         ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/><Override \
         PartName=\"/xl/worksheets/sheet1.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/><Override \
         PartName=\"/xl/styles.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml\"/></Types>",
    ),
    (
        "_rels/.rels",
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" \
         Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" \
         Target=\"xl/workbook.xml\"/></Relationships>",
    ),
    (
        "xl/workbook.xml",
        "<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
         xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"cars\" \
         sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
    ),
    (
        "xl/_rels/workbook.xml.rels",
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"rId1\" \
         Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" \
         Target=\"worksheets/sheet1.xml\"/><Relationship Id=\"rId2\" \
         Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles\" \
         Target=\"styles.xml\"/></Relationships>",
    ),
    (
        "xl/styles.xml",
        "<styleSheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><fonts \
         count=\"1\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts><fills count=\"2\"><fill><patternFill \
         patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills><borders \
         count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count=\"1\"><xf \
         numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs><cellXfs count=\"1\"><xf numFmtId=\"0\" \
         fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/></cellXfs></styleSheet>",
    ),
];

/// Excel stores numbers with 15 significant digits.
const MAX_DIGITS: usize = 15;
/// Excel's maximum number of rows, and of characters of a text.
const EXCEL_ROWS: u64 = 1_048_576;
const MAX_CELL_CHARS: usize = 32_767;

/// Writes a CSV as a workbook with the same rows in the same places. Plain numbers become numbers; everything else is text, and
/// nothing becomes a formula.
///
/// # Errors
/// The file cannot be read, has more rows or columns than a sheet, or the workbook cannot be written.
pub fn convert_to_workbook(
    source: &Source<'_>,
    options: &Options,
    output: impl Write + Seek,
) -> Result<(), TableError> {
    convert(source, options, output).map_err(|fault| fault.in_file(source.name()))
}

fn convert(source: &Source<'_>, options: &Options, output: impl Write + Seek) -> Result<(), Fault> {
    let format = Format::detect_content(source)?;
    let Options { encoding, limits, .. } = options;
    let delimiter = detect_delimiter(source, format, *encoding, limits, options.headings())?;
    let mut records = Delimited::open(source, format, delimiter, *encoding, limits)?;
    let mut writer = ZipWriter::new(output);
    let compressed = SimpleFileOptions::default();
    for (name, content) in PARTS {
        writer.start_file(name, compressed).map_err(failed)?;
        writer.write_all(content.as_bytes()).map_err(Fault::Write)?;
    }
    writer.start_file("xl/worksheets/sheet1.xml", compressed.large_file(true)).map_err(failed)?;
    let begin = "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>";
    writer.write_all(begin.as_bytes()).map_err(Fault::Write)?;
    while let Some(record) = records.next_record()? {
        if record.line > EXCEL_ROWS || record.fields.len() > EXCEL_COLUMNS as usize {
            return Err(Fault::TooLarge("it has more rows or columns than a sheet".to_owned()));
        }
        let fields = (0..).zip(&record.fields).filter(|(_, field)| !field.is_empty());
        let cells: String = fields.map(|(column, field)| cell(column, record.line, field)).collect();
        let row = format!("<row r=\"{}\">{cells}</row>", record.line);
        writer.write_all(row.as_bytes()).map_err(Fault::Write)?;
    }
    writer.write_all(b"</sheetData></worksheet>").map_err(Fault::Write)?;
    writer.finish().map_err(failed)?;
    Ok(())
}

fn cell(column: u32, row: u64, field: &str) -> String {
    let letters = column_letters(column);
    if is_plain_number(field) {
        return format!("<c r=\"{letters}{row}\"><v>{field}</v></c>");
    }
    let text: String =
        field.chars().take(MAX_CELL_CHARS).map(|c| if is_xml_character(c) { c } else { '\u{fffd}' }).collect();
    let text = escape(&text);
    format!("<c r=\"{letters}{row}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{text}</t></is></c>")
}

/// Whether a field is a number that looks the same as a number: a phone or a code with zeros in front is a text.
fn is_plain_number(field: &str) -> bool {
    let digits = field.strip_prefix('-').unwrap_or(field);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    // `150.000` may mean 150 or 150,000, which the reader of texts asks about.
    let is_ambiguous = digits.contains('.') && fraction.len() == 3;
    all_digits(whole) && all_digits(fraction) && !has_leading_zero && !is_ambiguous && digits.len() <= MAX_DIGITS
}

fn failed(error: ZipError) -> Fault {
    Fault::Write(error.into())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Data, Reader, Xlsx};

    use super::*;

    #[test]
    fn a_csv_becomes_a_workbook_with_the_same_rows() {
        let csv = "Марка;Год;Код;Заметка;Пробег\n\nKia;2018;007;=1+1;150.000\nA<&>\u{1};1.5;-3;\"a\nb\";1e5\n";
        let mut output = Cursor::new(Vec::new());
        convert_to_workbook(&Source::bytes("cars.csv", csv.as_bytes()), &Options::default(), &mut output).unwrap();
        let mut workbook: Xlsx<_> = Xlsx::new(output).unwrap();
        let range = workbook.worksheet_range("cars").unwrap();
        let text = |text: &str| Data::String(text.into());
        let row = |number| range.rows().nth(number).unwrap().to_vec();
        assert_eq!(row(2), [text("Kia"), Data::Float(2018.0), text("007"), text("=1+1"), text("150.000")]);
        assert_eq!(row(3), [text("A<&>\u{fffd}"), Data::Float(1.5), Data::Float(-3.0), text("a\nb"), text("1e5")]);
        assert!(workbook.worksheet_formula("cars").unwrap().cells().all(|(_, _, formula)| formula.is_empty()));
    }
}
