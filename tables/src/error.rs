//! Errors that concern a whole file.

use std::io;

use domain::Column;

/// An error in reading or writing a file.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct TableError {
    /// The name of the file.
    pub file: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file. The message is shown after the file name.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The file is not a table.
    #[error("this is {found}, not a CSV or XLSX table; {advice}")]
    NotATable {
        /// What the file is.
        found: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The extension does not match the content.
    #[error("this is {found}, not {expected}; rename it to end in {extension}")]
    WrongName {
        /// The format that the extension implies.
        expected: &'static str,
        /// The format of the content.
        found: &'static str,
        /// The extension for the content.
        extension: &'static str,
    },
    /// The file is truncated, corrupted or malformed.
    #[error("the file is damaged: {0}; save or send it again")]
    Damaged(String),
    /// The file exceeds one of the [`crate::Limits`].
    #[error("the file is too large: {0}")]
    TooLarge(String),
    /// XML with a document type definition, which no spreadsheet program writes.
    #[error(
        "part {part} has a document type definition, which is not accepted; save the file again in a spreadsheet program"
    )]
    Dtd {
        /// The part of the ZIP container.
        part: String,
    },
    /// The text is not UTF-8, and no encoding was specified.
    #[error("line {line} is not UTF-8{}", suggest_encoding(*.looks_like_windows_1251))]
    NotUtf8 {
        /// The line number.
        line: u64,
        /// Whether the line is probably Windows-1251.
        looks_like_windows_1251: bool,
    },
    /// The text is not valid in the specified encoding.
    #[error("the text is not valid {encoding}; specify another encoding")]
    NotInEncoding {
        /// The encoding's name.
        encoding: &'static str,
    },
    /// Required columns are missing.
    #[error("{}", describe_missing(missing, found))]
    MissingColumns {
        /// The missing columns, each with its accepted headers.
        missing: Vec<(Column, String)>,
        /// The headers of the best candidate row.
        found: Vec<String>,
    },
    /// The only sheet with the required columns is hidden.
    #[error(
        "the sheet {sheet:?} has the required columns, but it is hidden; unhide it or move the table to a visible sheet"
    )]
    HiddenSheet {
        /// The name of the sheet.
        sheet: String,
    },
    /// Two headers denote the same column.
    #[error("the headers {first:?} and {second:?} both denote the column {column}; rename or remove one of them")]
    DuplicateColumn {
        /// The column's name.
        column: &'static str,
        /// The first header.
        first: String,
        /// The second header.
        second: String,
    },
    /// The file could not be read.
    #[error("the file could not be read: {0}")]
    Read(io::Error),
    /// The operation was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Write(io::Error),
}

impl TableError {
    /// Whether the file itself is invalid, as opposed to an I/O error.
    #[must_use]
    pub fn is_invalid_file(&self) -> bool {
        !matches!(self.fault, Fault::Read(_) | Fault::Write(_) | Fault::Cancelled)
    }

    /// Whether the file exceeds a limit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooLarge(_))
    }
}

impl Fault {
    pub(crate) fn in_file(self, file: &str) -> TableError {
        TableError { file: file.to_owned(), fault: self }
    }

    /// The cause of a failed read: an I/O error, which has an OS error code; a fault passed through a reader; or damage that a
    /// decoder found.
    pub(crate) fn from_read(error: io::Error) -> Self {
        match error.kind() {
            // Offsets come from the file.
            io::ErrorKind::InvalidInput => Self::Damaged(error.to_string()),
            _ if error.raw_os_error().is_some() => Self::Read(error),
            io::ErrorKind::Other => error.downcast::<Self>().unwrap_or_else(|error| Self::Damaged(error.to_string())),
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is truncated".to_owned()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

fn suggest_encoding(looks_like_windows_1251: bool) -> &'static str {
    if looks_like_windows_1251 {
        " and looks like Windows-1251; save the file as CSV UTF-8 or specify its encoding (--encoding windows-1251)"
    } else {
        "; save the file as CSV UTF-8 or specify its encoding (--encoding)"
    }
}

/// The maximum number of headers in a message.
const MAX_HEADERS: usize = 40;
/// The maximum length of a header in a message, in characters.
const MAX_HEADER_CHARS: usize = 60;

fn describe_missing(missing: &[(Column, String)], found: &[String]) -> String {
    let describe = |(column, accepted): &(Column, String)| format!("{} (accepted headers: {accepted})", column.name());
    let missing: Vec<String> = missing.iter().map(describe).collect();
    let missing = missing.join(" and ");
    let searched = crate::limits::MAX_HEADER_ROW;
    if found.is_empty() {
        return format!("missing required column {missing}; no header row was found in the first {searched} rows");
    }
    let truncate = |header: &String| header.chars().take(MAX_HEADER_CHARS).collect::<String>();
    let more = if found.len() > MAX_HEADERS { ", …" } else { "" };
    let found: Vec<String> = found.iter().take(MAX_HEADERS).map(truncate).collect();
    let found = found.join(", ");
    format!("missing required column {missing}; the headers found in the first {searched} rows are {found}{more}")
}
