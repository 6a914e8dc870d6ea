//! The sections of the report.

use serde::{Serialize, Serializer};

/// A section of the report, which findings link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What to know first.
    Findings,
    /// Which columns are fit for the model.
    Columns,
    /// Listings by source, time and make.
    Rows,
    /// The market's level.
    Market,
    /// Missing values.
    Missing,
    /// How numbers spread.
    Numbers,
    /// Price against age, mileage, power and date.
    Prices,
    /// Categories and their tail.
    Texts,
    /// Repetitions and relisted cars.
    Repeats,
    /// Doubtful listings.
    Suspicions,
    /// What goes with what.
    Relations,
    /// How it was computed.
    Methods,
}

impl Section {
    /// Its place in the page's address.
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
