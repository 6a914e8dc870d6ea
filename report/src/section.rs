//! The sections of the report.

use serde::{Serialize, Serializer};

/// A section of the report, which findings link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The findings.
    Findings,
    /// Suitability of the columns.
    Columns,
    /// Listings by source, time and make.
    Rows,
    /// The market index.
    Market,
    /// Missing values.
    Missing,
    /// Distributions of numbers.
    Numbers,
    /// Price against age, mileage, power and date.
    Prices,
    /// Categories and their long tail.
    Texts,
    /// Duplicates and relisted cars.
    Repeats,
    /// Suspicious listings.
    Suspicions,
    /// Explained variance and correlations.
    Relations,
    /// Methods.
    Methods,
}

impl Section {
    /// The fragment identifier of the section.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Findings => "findings",
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Market => "market",
            Self::Missing => "missing",
            Self::Numbers => "numbers",
            Self::Prices => "prices",
            Self::Texts => "texts",
            Self::Repeats => "repeats",
            Self::Suspicions => "suspicions",
            Self::Relations => "relations",
            Self::Methods => "methods",
        }
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
