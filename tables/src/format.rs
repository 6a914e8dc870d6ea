//! The format of a file, detected from its content and checked against its extension.

use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

use crate::error::{Fault, TableError};
use crate::limits::Limits;
use crate::source::{Source, Stream, read_head};
use crate::workbook::{check_directory, normalized_name};

/// The formats of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with fields separated by `,`, `;` or tabs.
    Csv,
    /// The same, compressed with gzip.
    CsvGz,
    /// An Excel workbook.
    Xlsx,
}

impl Format {
    /// Detects the format from the content.
    ///
    /// # Errors
    /// The file is empty, is not a table, does not match its extension, or cannot be read.
    pub fn detect(source: &Source<'_>) -> Result<Self, TableError> {
        Self::detect_content(source).map_err(|fault| fault.in_file(source.name()))
    }

    pub(crate) fn detect_content(source: &Source<'_>) -> Result<Self, Fault> {
        let mut stream = source.open()?;
        let head = read_head(&mut stream, HEAD_BYTES).map_err(Fault::Read)?;
        let format = if head.is_empty() {
            return Err(Fault::Empty);
        } else if is_zip(&head) {
            detect_workbook(stream)?
        } else if head.starts_with(&GZIP) {
            Self::CsvGz
        } else {
            reject_other_formats(&head)?;
            Self::Csv
        };
        format.check_name(source.name())?;
        Ok(format)
    }

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("CSV", ".csv"),
            Self::CsvGz => ("a gzip file", ".csv.gz"),
            Self::Xlsx => ("an Excel workbook", ".xlsx"),
        }
    }

    /// Checks the extension; an unknown one fits any format.
    fn check_name(self, name: &str) -> Result<(), Fault> {
        let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let expected = match extension.as_str() {
            "xlsx" | "xlsm" | "xls" => Self::Xlsx,
            "gz" => Self::CsvGz,
            "csv" | "tsv" => Self::Csv,
            _ => return Ok(()),
        };
        if expected == self {
            return Ok(());
        }
        let (found, extension) = self.describe();
        Err(Fault::WrongName { expected: expected.describe().0, found, extension })
    }
}

/// The number of bytes to inspect.
pub(crate) const HEAD_BYTES: usize = 4096;

const GZIP: [u8; 2] = [0x1F, 0x8B];
/// The signatures at the start of a ZIP archive: a local file header, the end-of-central-directory record of an empty
/// archive, or the marker of a split one. A CSV may start with the letters PK, but not with these bytes.
const ZIP: [&[u8]; 3] = [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"];

fn is_zip(head: &[u8]) -> bool {
    ZIP.iter().any(|signature| head.starts_with(signature))
}

const SAVE_AS: &str = "open it in a spreadsheet program and save it as .xlsx or .csv";

/// The full signatures of other file formats, so that no CSV header is mistaken for one.
const OTHER_FORMATS: [(&[u8], &str); 14] = [
    (&[0xD0, 0xCF, 0x11, 0xE0], "an old Excel workbook (.xls) or one protected by a password"),
    (b"%PDF-", "a PDF"),
    (b"{\\rtf1", "a rich text document (RTF)"),
    (b"\x89PNG", "an image (PNG)"),
    (&[0xFF, 0xD8, 0xFF], "an image (JPEG)"),
    (b"GIF87a", "an image (GIF)"),
    (b"GIF89a", "an image (GIF)"),
    (b"7z\xBC\xAF", "a 7-Zip archive"),
    (b"Rar!\x1A\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1\x15", "a Parquet file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"\x7FELF", "a program"),
    (b"MZ\x90", "a program"),
];

/// Rejects content that is not a CSV.
pub(crate) fn reject_other_formats(head: &[u8]) -> Result<(), Fault> {
    let reject = |found| Err(Fault::NotATable { found, advice: SAVE_AS });
    if let Some((_, found)) = OTHER_FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return reject(found);
    }
    if is_zip(head) || head.starts_with(&GZIP) {
        return reject("an archive compressed with gzip");
    }
    let utf16 = head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]);
    if head.contains(&0) && !utf16 {
        return reject("a binary file");
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<table") {
        return reject("a web page (HTML)");
    }
    if text.starts_with("<?xml") {
        return reject("an XML document");
    }
    let is_object = |text: &str| text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']));
    if is_object(&text) || text.strip_prefix('[').is_some_and(|rest| is_object(rest.trim_start())) {
        return reject("JSON");
    }
    Ok(())
}

/// Distinguishes a workbook from other ZIP archives.
fn detect_workbook(mut stream: Stream<'_>) -> Result<Format, Fault> {
    // The limits apply before the directory is read.
    check_directory(&mut stream, &Limits::default())?;
    let mut archive = ZipArchive::new(stream)
        .map_err(|_| Fault::Damaged("it starts like a ZIP archive or workbook, but its end is missing".to_owned()))?;
    let names: Vec<String> = archive.file_names().flatten().map(|name| normalized_name(&name)).collect();
    let has = |prefix: &str, suffix: &str| names.iter().any(|name| name.starts_with(prefix) && name.ends_with(suffix));
    if has("xl/workbook", ".xml") {
        return Ok(Format::Xlsx);
    }
    let found = if has("xl/workbook", ".bin") {
        "a binary Excel workbook (.xlsb)"
    } else if has("word/", ".xml") {
        "a Word document"
    } else if is_open_document(&mut archive) {
        "an OpenDocument file (.ods)"
    } else if has("xl/", "") {
        return Err(Fault::Damaged("it is an Excel file without the part xl/workbook.xml".to_owned()));
    } else {
        "a ZIP archive without a workbook"
    };
    Err(Fault::NotATable { found, advice: SAVE_AS })
}

fn is_open_document(archive: &mut ZipArchive<Stream<'_>>) -> bool {
    let Ok(entry) = archive.by_name("mimetype") else { return false };
    let mut mime = String::new();
    entry.take(100).read_to_string(&mut mime).is_ok() && mime.starts_with("application/vnd.oasis.opendocument")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, bytes: &[u8]) -> String {
        Format::detect(&Source::bytes(name, bytes)).unwrap_err().to_string()
    }

    #[test]
    fn the_format_is_detected_from_the_content() {
        let detect = |name: &str, bytes: &[u8]| Format::detect(&Source::bytes(name, bytes)).unwrap();
        assert_eq!(detect("cars", b"brand,year"), Format::Csv);
        assert_eq!(detect("cars.txt", b"\xFF\xFEb\0"), Format::Csv);
        assert_eq!(detect("cars.csv.gz", &[0x1F, 0x8B, 8]), Format::CsvGz);
        for header in
            ["PK,brand", "PKW;Марка", "PK", "PAR1,brand", "GIF8;brand", "Rar!,brand", "ARROW1,b", "{id},brand"]
        {
            assert_eq!(detect("cars.csv", header.as_bytes()), Format::Csv, "{header}");
        }
    }

    #[test]
    fn other_formats_are_named() {
        assert_eq!(message("cars.csv", b""), "cars.csv: the file is empty");
        assert!(message("cars.xls", &[0xD0, 0xCF, 0x11, 0xE0, 0]).contains("old Excel workbook (.xls)"));
        assert!(message("cars.xls", b"<html><table>").contains("a web page (HTML)"));
        assert!(message("cars.csv", b"\x89PNG\r\n").contains("an image (PNG)"));
        assert!(message("cars.csv", b"a\0b").contains("a binary file"));
        assert!(message("cars.json", b" {\"brand\": 1}").contains("JSON"));
        assert!(message("cars.json", b"[ {\"brand\": 1}]").contains("JSON"));
        assert!(message("cars.xlsx", b"PK\x03\x04cut").contains("damaged"));
        assert!(message("cars.xlsx", b"PK\x05\x06").contains("damaged"));
        assert!(message("cars.gif", b"GIF89a\x01").contains("an image (GIF)"));
        assert!(message("cars.parquet", b"PAR1\x15\x04").contains("Parquet"));
    }

    #[test]
    fn a_wrong_extension_is_reported() {
        assert_eq!(
            message("cars.xlsx", b"brand,year\n"),
            "cars.xlsx: this is CSV, not an Excel workbook; rename it to end in .csv"
        );
        assert!(message("cars.csv.gz", b"brand,year\n").contains("rename it to end in .csv"));
    }
}
