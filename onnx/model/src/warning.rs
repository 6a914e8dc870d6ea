//! Warnings about unknown values, and about prices long after the newest listing.

use std::fmt;

use chrono::NaiveDate;
use domain::cell::shorten;
use domain::feature::{CategoricalFeature, FeatureSchema};
use domain::message::Argument;
use domain::vocabulary::{Spellings, write_key};
use domain::{Column, Listing, Warning};
use rustc_hash::FxHashMap;

use crate::encoder::Encoder;

/// A make that a model does not know. Without its make a car may cost anything, so it should not be valued unless the caller
/// asks for that. Displayed as a description of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMake {
    message: String,
    /// The nearest known make.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownMake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Suggests the nearest known value for an unknown one. Built once per model.
#[derive(Debug)]
pub(crate) struct Suggestions {
    /// For each categorical feature, the spellings by leading texts, such as the models of each make.
    spellings: Vec<FxHashMap<String, Spellings>>,
}

impl Suggestions {
    pub(crate) fn new(schema: &FeatureSchema) -> Self {
        Self { spellings: schema.categorical.iter().map(spellings_of).collect() }
    }

    /// A warning for each text that is not in its vocabulary, except for the model of an unknown make.
    pub(crate) fn unknown_values(
        &self,
        schema: &FeatureSchema,
        encoder: &Encoder,
        listing: &Listing,
        ids: &[i64],
    ) -> Vec<Warning> {
        let is_unknown = |(columns, id): (&[Column], &i64)| {
            *id == 0 && columns.last().is_some_and(|column| listing.text(*column).is_some())
        };
        if !encoder.categorical_columns().zip(ids).any(is_unknown) {
            return Vec::new();
        }
        let texts = encoder.canonical_texts(listing);
        let text = |column: &Column| texts.get(column).map(String::as_str);
        let mut key = String::new();
        let mut warnings = Vec::new();
        let features = schema.categorical.iter().zip(&self.spellings);
        for ((columns, id), (feature, spellings)) in encoder.categorical_columns().zip(ids).zip(features) {
            let Some((last, leading)) = columns.split_last() else { continue };
            let Some(value) = text(last).filter(|_| *id == 0) else { continue };
            let siblings = write_key(&mut key, leading.iter().map(text)).then(|| spellings.get(&key)).flatten();
            if siblings.is_none() && !leading.is_empty() && !warnings.is_empty() {
                continue;
            }
            let nearest = siblings.and_then(|siblings| nearest(feature, siblings, value));
            let mut arguments = vec![("field", Argument::Column(*last)), ("value", Argument::Quoted(shorten(value)))];
            arguments.extend(nearest.map(|nearest| ("nearest", Argument::Quoted(nearest.to_owned()))));
            warnings.push(Warning::new("unknown_value", Some(*last), arguments));
        }
        warnings
    }

    /// The make of a listing, if it is stated but not in its vocabulary. A model that knows no makes at all has no unknown ones.
    pub(crate) fn unknown_make(
        &self,
        schema: &FeatureSchema,
        encoder: &Encoder,
        listing: &Listing,
    ) -> Option<UnknownMake> {
        let column = Column::Brand;
        let value = encoder.canonical_text(listing, column)?;
        if encoder.knows(column, &value) {
            return None;
        }
        let mut features = schema.categorical.iter().zip(&self.spellings);
        let (feature, spellings) = features.find(|(feature, _)| feature.columns == [column.name()])?;
        let makes = spellings.get("")?;
        let stated = listing.text(column).unwrap_or_default();
        let nearest = nearest(feature, makes, &value);
        Some(UnknownMake { message: describe(column, stated, nearest), nearest: nearest.map(str::to_owned) })
    }
}

/// The nearest known value among those that share their leading texts.
fn nearest<'f>(feature: &'f CategoricalFeature, siblings: &Spellings, value: &str) -> Option<&'f str> {
    let known = |index: usize| feature.values[index].last().map_or("", String::as_str);
    siblings.nearest(value, known).map(known)
}

fn spellings_of(feature: &CategoricalFeature) -> FxHashMap<String, Spellings> {
    let mut by_leading: FxHashMap<String, Vec<(usize, &str)>> = FxHashMap::default();
    let mut key = String::new();
    for (index, texts) in feature.values.iter().enumerate() {
        let Some((last, leading)) = texts.split_last() else { continue };
        if write_key(&mut key, leading.iter().map(|text| Some(text.as_str()))) {
            match by_leading.get_mut(&key) {
                Some(known) => known.push((index, last)),
                None => drop(by_leading.insert(key.clone(), vec![(index, last)])),
            }
        }
    }
    by_leading.into_iter().map(|(leading, known)| (leading, Spellings::new(known))).collect()
}

fn describe(column: Column, value: &str, nearest: Option<&str>) -> String {
    let (field, value) = (column.name(), shorten(value));
    let known = nearest.map(|nearest| format!(" (did you mean {nearest:?}?)")).unwrap_or_default();
    format!("{field} {value:?} is not known{known}")
}

/// The number of days after the newest listing from which on there is a warning.
const OUTDATED_AFTER_DAYS: i64 = 120;

/// A warning if a price is as of a day long after the newest listing of the model.
pub(crate) fn outdated_market(newest: NaiveDate, as_of: NaiveDate) -> Option<Warning> {
    let days = as_of.signed_duration_since(newest).num_days();
    (days > OUTDATED_AFTER_DAYS).then(|| {
        let plain = |text: &dyn fmt::Display| Argument::Plain(text.to_string());
        let arguments = vec![("newest", plain(&newest)), ("days", plain(&days)), ("as_of", plain(&as_of))];
        Warning::new("outdated_market", Some(Column::ListingDate), arguments)
    })
}
