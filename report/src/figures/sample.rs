//! The sample of listings, prepared for analysis.

use std::hash::{DefaultHasher, Hash, Hasher};

use domain::column::Kind;
use domain::feature::CATEGORICAL;
use domain::identity::DAYS_PER_YEAR;
use domain::quantile;
use domain::{Column, Market};
use storage::ListingChunk;
use storage::profile::{self, SourceRows};

/// A uniform sample of the listings.
#[derive(Debug)]
pub(crate) struct Sample {
    listings: ListingChunk,
    pub(crate) market: Market,
    /// The index of each listing's source among the largest; their number stands for all others.
    pub(crate) sources: Vec<usize>,
    /// Number of different source indices.
    pub(crate) source_bins: usize,
    /// The last day of the oldest third, and the first day of the newest.
    thirds: Option<(f64, f64)>,
}

/// Minimum number of listings in a third for a comparison.
const MIN_THIRD_ROWS: usize = 100;

impl Sample {
    pub(crate) fn new(sample: profile::Sample, sources: &[SourceRows], market: Market) -> Self {
        let index = |name: &Option<String>| sources.iter().position(|source| source.source == *name);
        let sources_by_row = sample.sources.iter().map(|name| index(name).unwrap_or(sources.len())).collect();
        let (listings, source_bins) = (sample.listings, sources.len() + 1);
        let mut new = Self { listings, market, sources: sources_by_row, source_bins, thirds: None };
        new.thirds = new.find_thirds();
        new
    }

    pub(crate) fn len(&self) -> usize {
        self.listings.len()
    }

    pub(crate) fn price(&self, row: usize) -> f64 {
        self.listings.target(row)
    }

    pub(crate) fn text(&self, column: Column, row: usize) -> Option<&str> {
        self.listings.text(column, row)
    }

    /// A number in the unit of the market, a date in days, or the price.
    pub(crate) fn number(&self, column: Column, row: usize) -> Option<f64> {
        if column == Column::Price {
            return Some(self.price(row));
        }
        self.listings.number(column, row).map(|number| self.market.to_shown(column, remove_rounding_error(number)))
    }

    /// Age of the car in years on the day of its listing.
    pub(crate) fn age(&self, row: usize) -> Option<f64> {
        let day = self.number(Column::ListingDate, row)?;
        Some(1970.0 + day / DAYS_PER_YEAR - self.number(Column::Year, row)?)
    }

    /// Whether a listing belongs to the newest third (`Some(true)`) or to the oldest (`Some(false)`).
    pub(crate) fn is_new(&self, row: usize) -> Option<bool> {
        let (old, new) = self.thirds?;
        let day = self.number(Column::ListingDate, row)?;
        if day <= old {
            Some(false)
        } else if day >= new {
            Some(true)
        } else {
            None
        }
    }

    /// The value of a row as a hashable key.
    pub(crate) fn key(&self, column: Column, row: usize) -> Option<Key<'_>> {
        match column.kind() {
            Kind::Text => self.text(column, row).map(Key::Text),
            _ => self.number(column, row).map(|number| Key::Number(number.to_bits())),
        }
    }

    /// A hash of the texts of several columns; `None` if the last is missing.
    pub(crate) fn texts_key(&self, columns: &[Column], row: usize) -> Option<u64> {
        self.text(*columns.last()?, row)?;
        let mut hasher = DefaultHasher::new();
        for column in columns {
            self.text(*column, row).hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn find_thirds(&self) -> Option<(f64, f64)> {
        let mut days: Vec<f64> = (0..self.len()).filter_map(|row| self.number(Column::ListingDate, row)).collect();
        days.sort_unstable_by(f64::total_cmp);
        let at = |share| quantile::interpolated(&days, share);
        let (old, new) = (at(1.0 / 3.0)?.floor(), at(2.0 / 3.0)?.ceil());
        let has_enough_rows = days.iter().filter(|day| **day <= old).count() >= MIN_THIRD_ROWS
            && days.iter().filter(|day| **day >= new).count() >= MIN_THIRD_ROWS;
        (old < new && has_enough_rows).then_some((old, new))
    }
}

/// The columns that identify a value of a text column, itself last: a model or a generation is only unique within its
/// make.
pub(crate) fn key_columns(column: Column) -> Vec<Column> {
    let feature = CATEGORICAL.iter().find(|feature| feature.columns.last() == Some(&column));
    feature.map_or_else(|| vec![column], |feature| feature.columns.to_vec())
}

/// A hashable value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Text(&'a str),
    Number(u64),
}

/// Removes the rounding error of single precision: 1.6, not 1.600000023841858.
fn remove_rounding_error(number: f32) -> f64 {
    (f64::from(number) * 1e4).round() / 1e4
}
