//! How much of a file is read before it is refused.

/// The headers must stand within this many rows from the top.
pub(crate) const SEARCHED_ROWS: u64 = 100;

/// Bounds on what a file may ask of the machine. The defaults suit uploads from strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows below the header that hold anything. Default 1,048,576.
    pub max_rows: u64,
    /// Most columns, counted from the first of the sheet. Default 256.
    pub max_columns: usize,
    /// Most cells of a sheet, empty ones that are only formatted included. Default 8 million.
    pub max_cells: u64,
    /// Most bytes after inflation, over all parts of a workbook or all of a CSV. Default 192 MiB.
    pub max_inflated_bytes: u64,
    /// Most elements of all parts of a workbook that are XML, comments included. Default 16 million.
    pub max_elements: u64,
    /// Most bytes of memory that a workbook's shared texts take. Default 48 MiB.
    pub max_shared_bytes: u64,
    /// Most inflated bytes a compressed byte, once a part is over 1 MiB. Default 200.
    pub max_ratio: u64,
    /// Most parts in a workbook's ZIP container. Default 2,000.
    pub max_entries: usize,
    /// Longest text of a cell, in characters: Excel's own limit. Default 32,767.
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
    /// For files of the operator's own: as many rows as fit on the disk, the other bounds as they are.
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
