//! The columns in a stream of listings.

use domain::Column;

/// The number of columns in a stream of listings.
pub(crate) const WIDTH: usize = Column::ALL.len() - Column::TARGETS.len() + 1;

/// The columns in a stream of listings: the descriptive ones and, in place of the price, the target.
pub(crate) fn columns() -> &'static [Column] {
    &Column::ALL[..WIDTH]
}

/// The names of these columns, separated by commas for SQL.
pub(crate) fn column_names() -> String {
    columns().iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
}

/// The names of all stored columns of a listing, separated by commas for SQL.
pub(crate) fn stored_column_names() -> String {
    Column::ALL.map(Column::name).join(", ")
}
