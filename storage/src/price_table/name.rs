//! The names of a table of prices, of those beside it and of their columns.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::error::Error;

/// The column that numbers the cars, from 1 and without gaps.
pub(super) const NUMBER: &str = "probeg_row";
/// The longest name of a table in PostgreSQL, in bytes; longer ones are cut.
const MAX_BYTES: usize = 63;
/// What precedes the name of the result in those of the tables beside it.
const WORK: [&str; 3] = ["probeg_cars_", "probeg_prices_", "probeg_parts_"];

/// The name of a table, with or without its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    schema: Option<String>,
    table: String,
}

impl TableName {
    /// The name for SQL.
    pub(super) fn quoted(&self) -> String {
        self.beside("")
    }

    /// The tables of the cars, their prices and the parts that are done, for SQL.
    pub(super) fn work(&self) -> [String; 3] {
        WORK.map(|prefix| self.beside(prefix))
    }

    fn beside(&self, prefix: &str) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{}.", quoted(schema)));
        format!("{}{}", schema.unwrap_or_default(), quoted(&format!("{prefix}{}", self.table)))
    }
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        let longest = WORK.iter().map(|prefix| prefix.len()).max().unwrap_or_default();
        let is_name = |text: &str, longest: usize| {
            let is_letter = |letter: char| letter == '_' || letter.is_alphabetic();
            text.starts_with(is_letter)
                && text.chars().all(|letter| is_letter(letter) || letter.is_numeric())
                && text.len() <= longest
        };
        if is_name(table, MAX_BYTES - longest) && schema.is_none_or(|schema| is_name(schema, MAX_BYTES)) {
            return Ok(Self { schema: schema.map(str::to_owned), table: table.to_owned() });
        }
        Err(Error::TableName { name: name.to_owned(), longest: MAX_BYTES - longest })
    }
}

impl Display for TableName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(formatter, "{schema}.{}", self.table),
            None => formatter.write_str(&self.table),
        }
    }
}

/// A name for SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_or_refused() {
        let name: TableName = "sales.valued_stock".parse().unwrap();
        assert_eq!(name.quoted(), r#""sales"."valued_stock""#);
        assert_eq!(name.work()[0], r#""sales"."probeg_cars_valued_stock""#);
        assert_eq!("Склад_1".parse::<TableName>().unwrap().quoted(), "\"Склад_1\"");
        for name in ["", ".", "a.", "a.b.c", "1a", "a b", "a;b", "a\"b", &"a".repeat(50)] {
            assert!(matches!(name.parse::<TableName>(), Err(Error::TableName { .. })), "{name}");
        }
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
