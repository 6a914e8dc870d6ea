//! The sample of the listings, in the terms of the analysis.

use std::hash::{DefaultHasher, Hash, Hasher};

use domain::Column;
use domain::column::Kind;
use domain::feature::CATEGORICAL;
use domain::identity::DAYS_PER_YEAR;
use domain::quantile;
use storage::ListingChunk;
use storage::profile::{self, SourceRows};

/// A uniform sample of the listings.
#[derive(Debug)]
pub(crate) struct Sample {
    listings: ListingChunk,
    /// The place of each listing's source among the largest, or their number for all others.
    pub(crate) sources: Vec<usize>,
    /// How many different places there may be.
    pub(crate) source_places: usize,
    /// Listings up to the first day are the oldest third, listings from the second day on the newest.
    thirds: Option<(f64, f64)>,
}

/// Fewer listings than these in a third of the time tell nothing about a change.
const MIN_IN_THIRD: usize = 100;

impl Sample {
    pub(crate) fn new(sample: profile::Sample, sources: &[SourceRows]) -> Self {
        let place = |name: &Option<String>| sources.iter().position(|source| source.source == *name);
        let places = sample.sources.iter().map(|name| place(name).unwrap_or(sources.len())).collect();
        let mut new =
            Self { listings: sample.listings, sources: places, source_places: sources.len() + 1, thirds: None };
        new.thirds = new.find_thirds();
        new
    }

    pub(crate) fn len(&self) -> usize {
        self.listings.len()
    }

    pub(crate) fn price(&self, row: usize) -> f64 {
        self.listings.price(row)
    }

    pub(crate) fn text(&self, column: Column, row: usize) -> Option<&str> {
        self.listings.text(column, row)
    }

    /// A number, a date in days, or the price.
    pub(crate) fn number(&self, column: Column, row: usize) -> Option<f64> {
        if column == Column::Price {
            return Some(self.price(row));
        }
        self.listings.number(column, row).map(clean)
    }

    /// Age of the car in years on the day of its listing.
    pub(crate) fn age(&self, row: usize) -> Option<f64> {
        let day = self.number(Column::ListingDate, row)?;
        Some(1970.0 + day / DAYS_PER_YEAR - self.number(Column::Year, row)?)
    }

    /// Whether a listing is of the oldest third (`Some(false)`) or of the newest (`Some(true)`).
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

    /// What a row has in a column, as something that can be counted: a text, or a number in its
    /// exact form.
    pub(crate) fn key(&self, column: Column, row: usize) -> Option<Key<'_>> {
        match column.kind() {
            Kind::Text => self.text(column, row).map(Key::Text),
            _ => self.number(column, row).map(|number| Key::Number(number.to_bits())),
        }
    }

    /// A hash of the texts of several columns, of which the last must be known.
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
        let enough = days.iter().filter(|day| **day <= old).count() >= MIN_IN_THIRD
            && days.iter().filter(|day| **day >= new).count() >= MIN_IN_THIRD;
        (old < new && enough).then_some((old, new))
    }
}

/// The columns that give a text column its meaning, itself last: a model and a generation only mean something within
/// their make.
pub(crate) fn key_columns(column: Column) -> Vec<Column> {
    let feature = CATEGORICAL.iter().find(|feature| feature.columns.last() == Some(&column));
    feature.map_or_else(|| vec![column], |feature| feature.columns.to_vec())
}

/// What a row has in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Text(&'a str),
    Number(u64),
}

/// A single precision number as it was written: 1.6, not 1.600000023841858.
fn clean(number: f32) -> f64 {
    (f64::from(number) * 1e4).round() / 1e4
}
