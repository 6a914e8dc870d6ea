//! Tables in and out: CSV, CSV.gz and XLSX, streamed under limits, their columns recognized.
//!
//! Serves the import, the prediction of files and the server. Knows no database and no model; all
//! of it is synchronous.

mod car;
mod check;
mod convert;
mod delimited;
mod encoding;
mod error;
mod format;
mod header;
mod headings;
mod limits;
mod mapping;
mod rejects;
mod row;
mod search;
mod source;
mod table;
mod template;
mod text;
mod value;
mod workbook;

pub use check::{CheckedColumn, RowProblem, TableCheck, check_table};
pub use convert::convert_to_workbook;
pub use encoding::{Encoding, UnknownEncoding, guess_encoding};
pub use error::{Fault, TableError};
pub use format::Format;
pub use header::Header;
pub use limits::Limits;
pub use mapping::{IGNORE, Mapping, UnknownColumn};
pub use rejects::RejectsFile;
pub use row::{Rejection, Row};
pub use source::Source;
pub use table::{Options, Rows, Table};
pub use template::{Vocabulary, template};
pub use value::{
    Presentation, RowResult, Stripe, ValueError, ValuedCounts, ValuedTable, Valuer, value_stripe, value_table,
};
pub use workbook::inflated_size;
