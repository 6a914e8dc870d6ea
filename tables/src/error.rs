//! Errors of a file as a whole.

use std::io;

use domain::Column;

/// A file that could not be read or written, by name.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct TableError {
    /// The name of the file.
    pub file: String,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a file. Each message follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// Another kind of file.
    #[error("this is {found}, not a table in CSV or XLSX: {advice}")]
    NotATable {
        /// What it is.
        found: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The name implies another format than the content has.
    #[error("this is not {promised}: it looks like {found}; rename it to end in {extension}")]
    WrongName {
        /// What the name promises.
        promised: &'static str,
        /// What the content is.
        found: &'static str,
        /// The extension that fits the content.
        extension: &'static str,
    },
    /// Cut off, corrupted or against the rules of its format.
    #[error("the file is damaged: {0}; save or send it again")]
    Damaged(String),
    /// Over one of the [`crate::Limits`].
    #[error("the file is too large: {0}")]
    TooLarge(String),
    /// XML with a document type definition, which no spreadsheet program writes.
    #[error(
        "its part {part} holds a document type definition, which is refused; save it again from a spreadsheet program"
    )]
    Dtd {
        /// The part of the ZIP container.
        part: String,
    },
    /// Text that is not UTF-8, where no encoding was named.
    #[error("line {line} is not UTF-8{}", guess(*.looks_like_windows_1251))]
    NotUtf8 {
        /// The line, counted from 1.
        line: u64,
        /// Whether the bytes read well as Windows-1251.
        looks_like_windows_1251: bool,
    },
    /// Text that does not fit the encoding it is said to be in.
    #[error("the text is not valid {encoding}; name another encoding")]
    NotInEncoding {
        /// The encoding's name.
        encoding: &'static str,
    },
    /// Required columns that no header names.
    #[error("{}", describe_missing(missing, found))]
    MissingColumns {
        /// The columns that were not found.
        missing: Vec<Column>,
        /// The headers of the row that came nearest.
        found: Vec<String>,
    },
    /// The only sheet with the required columns is one that nobody sees.
    #[error(
        "its sheet {sheet:?} has the required columns, but it is hidden; unhide it, or move them to a visible sheet"
    )]
    HiddenSheet {
        /// The name of the sheet.
        sheet: String,
    },
    /// Two headers that mean the same column.
    #[error("the headers {first:?} and {second:?} both mean the column {column}; rename or remove one of them")]
    SameColumn {
        /// The column's name.
        column: &'static str,
        /// The header that stands first.
        first: String,
        /// The header that stands further right.
        second: String,
    },
    /// The file could not be read from where it lies.
    #[error("the file could not be read: {0}")]
    Read(#[source] io::Error),
    /// The caller is gone.
    #[error("the work was cancelled")]
    Abandoned,
    /// The result could not be written.
    #[error("the result could not be written: {0}")]
    Write(#[source] io::Error),
}

impl TableError {
    /// Whether the file is at fault, and not the disk or the network.
    #[must_use]
    pub fn is_users_fault(&self) -> bool {
        !matches!(self.fault, Fault::Read(_) | Fault::Write(_) | Fault::Abandoned)
    }

    /// Whether the file is over a limit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.fault, Fault::TooLarge(_))
    }
}

impl Fault {
    pub(crate) fn in_file(self, file: &str) -> TableError {
        TableError { file: file.to_owned(), fault: self }
    }

    /// The fault behind a failed read: a disk error, which has an OS error number; our own fault passed through a reader; or
    /// damage that a decoder found.
    pub(crate) fn from_read(error: io::Error) -> Self {
        match error.kind() {
            // An invalid offset comes from the file itself.
            io::ErrorKind::InvalidInput => Self::Damaged(error.to_string()),
            _ if error.raw_os_error().is_some() => Self::Read(error),
            io::ErrorKind::Other => error.downcast::<Self>().unwrap_or_else(|error| Self::Damaged(error.to_string())),
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut off".to_owned()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

fn guess(looks_like_windows_1251: bool) -> &'static str {
    if looks_like_windows_1251 {
        " and looks like Windows-1251: save the file as CSV UTF-8, or name its encoding (--encoding windows-1251)"
    } else {
        ": save the file as CSV UTF-8, or name its encoding (--encoding)"
    }
}

/// Headers that a message repeats, and how many characters of each.
const MAX_HEADERS: usize = 40;
const MAX_HEADER_CHARS: usize = 60;

fn describe_missing(missing: &[Column], found: &[String]) -> String {
    let missing: Vec<String> = missing
        .iter()
        .map(|column| format!("{} (its header may be {})", column.name(), accepted_headers(*column)))
        .collect();
    let missing = missing.join(" and none for ");
    let searched = crate::limits::SEARCHED_ROWS;
    if found.is_empty() {
        return format!("no column for {missing}; no row of headers was found in the first {searched} rows");
    }
    let cut = |header: &String| header.chars().take(MAX_HEADER_CHARS).collect::<String>();
    let more = if found.len() > MAX_HEADERS { ", …" } else { "" };
    let found: Vec<String> = found.iter().take(MAX_HEADERS).map(cut).collect();
    let found = found.join(", ");
    format!("no column for {missing}; the headers found in the first {searched} rows are {found}{more}")
}

fn accepted_headers(column: Column) -> String {
    let headers: Vec<&str> = [column.name()].iter().chain(column.headers()).copied().collect();
    headers.join(" / ")
}
