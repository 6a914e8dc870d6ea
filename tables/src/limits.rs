//! Limits on files.

/// The last row in which to look for the header.
pub(crate) const MAX_HEADER_ROW: u64 = 100;

/// Limits on the resources that a file may use. The defaults suit untrusted uploads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of non-empty rows below the header. Default 1,048,576.
    pub max_rows: u64,
    /// The maximum number of columns. Default 256.
    pub max_columns: usize,
    /// The maximum number of cells in a sheet, including empty cells with a format. Default 8 million.
    pub max_cells: u64,
    /// The maximum inflated size in bytes of a CSV or of all parts of a workbook. Default 192 MiB.
    pub max_inflated_bytes: u64,
    /// The maximum number of XML elements and comments in all parts of a workbook. Default 16 million.
    pub max_elements: u64,
    /// The maximum memory for the shared strings of a workbook in bytes. Default 48 MiB.
    pub max_shared_bytes: u64,
    /// The maximum compression ratio of a part larger than 1 MiB. Default 200.
    pub max_ratio: u64,
    /// The maximum number of parts in the ZIP container of a workbook. Default 2,000.
    pub max_entries: usize,
    /// The maximum length of a cell in characters, which is Excel's limit. Default 32,767.
    pub max_text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rows: 1_048_576,
            max_columns: 256,
            max_cells: 8_000_000,
            max_inflated_bytes: 192 << 20,
            max_elements: 16_000_000,
            max_shared_bytes: 48 << 20,
            max_ratio: 200,
            max_entries: 2_000,
            max_text: 32_767,
        }
    }
}

impl Limits {
    /// Limits for trusted files, whose number of rows is unlimited.
    #[must_use]
    pub fn trusted() -> Self {
        Self {
            max_rows: u64::MAX,
            max_cells: u64::MAX,
            max_inflated_bytes: 1 << 40,
            max_elements: u64::MAX,
            max_shared_bytes: 1 << 30,
            ..Self::default()
        }
    }
}
