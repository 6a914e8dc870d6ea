//! Whether a column is suitable as a feature.

use std::collections::HashMap;

use domain::Column;
use domain::column::Kind;
use domain::{quantile, stability};
use serde::Serialize;

use super::distribution::{NumberColumn, TextColumn};
use super::information::{Table, mutual_information, stability_index};
use super::missing::Missing;
use super::sample::{Key, Sample};

/// The suitability of a column.
#[derive(Debug, Serialize)]
pub(crate) struct Fitness {
    pub(crate) column: Column,
    /// Share of listings with a value.
    pub(crate) known: f64,
    /// Number of distinct values.
    pub(crate) distinct: i64,
    /// Faults, the most severe first; empty for a suitable column.
    pub(crate) faults: Vec<Fault>,
}

/// A fault of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(crate) enum Fault {
    /// No listing has a value.
    Absent,
    /// All known values are the same.
    Constant,
    /// Nearly all known values are the same.
    NearlyConstant {
        /// Share of the most frequent value.
        largest: f64,
    },
    /// Missing values reveal the source.
    #[serde(rename = "absence_tells_source")]
    AbsenceLeaksSource {
        /// Theil's uncertainty coefficient of the absence given the source.
        #[serde(rename = "told")]
        uncertainty: f64,
    },
    /// Values reveal the source.
    #[serde(rename = "value_tells_source")]
    ValueLeaksSource {
        /// Mutual information with the source, as a share of the smaller entropy.
        #[serde(rename = "told")]
        information: f64,
    },
    /// Many values occur in one source only, although several sources fill in the column.
    #[serde(rename = "own_words")]
    SourceSpecificValues {
        /// Share of such values among the known ones.
        share: f64,
    },
    /// The distribution differs between the oldest and the newest third of the listings.
    Drifts {
        /// The population stability index.
        index: f64,
    },
    /// Missing in more than half of the listings.
    MostlyMissing,
    /// Many rare values.
    LongTail {
        /// Number of values with fewer than 10 listings each.
        values: i64,
        /// Share of listings with such a value.
        share: f64,
    },
}

/// Share of the most frequent value from which a column is nearly constant.
const MIN_NEARLY_CONSTANT: f64 = 0.97;
/// Association with the source from which a column leaks it.
const MIN_LEAK: f64 = 0.5;
/// Smallest share of missing, and of known, values that can leak the source.
const MIN_MISSING: f64 = 0.01;
/// Share of source-specific values from which it is a fault.
const MIN_SOURCE_SPECIFIC: f64 = 0.2;
/// With fewer listings in the sample, a value may occur in one source only by chance.
const MIN_ROWS_PER_VALUE: f64 = 20.0;
/// Above this share of one source, sources are not compared.
const MAX_SOURCE_SHARE: f64 = 0.8;
const MIN_RARE_VALUES: i64 = 30;
/// Number of frequent texts with a bin of their own; all others share one.
const FREQUENT_TEXTS: usize = 15;
/// Number of bins of a number column.
const NUMBER_BINS: u32 = 10;

/// Assesses every column except the price.
pub(crate) fn assess_columns(
    sample: &Sample,
    missing: &Missing,
    texts: &[TextColumn],
    numbers: &[NumberColumn],
) -> Vec<Fitness> {
    let has_one_source = missing.source_leak.is_none();
    Column::descriptive()
        .iter()
        .map(|column| assess_column(*column, sample, missing, texts, numbers, has_one_source))
        .collect()
}

fn assess_column(
    column: Column,
    sample: &Sample,
    missing: &Missing,
    texts: &[TextColumn],
    numbers: &[NumberColumn],
    has_one_source: bool,
) -> Fitness {
    let absence = missing.column(column);
    let known = absence.map_or(1.0, |missing| 1.0 - missing.share);
    let text = texts.iter().find(|text| text.column == column).map(|text| &text.profile);
    let number = numbers.iter().find(|number| number.column == column).map(|number| &number.profile);
    let frequent = match (text, number) {
        (Some(text), _) => Some((text.known, text.distinct, text.top.first().map_or(0, |value| value.rows))),
        (_, Some(number)) => {
            Some((number.known, number.distinct, number.frequent.first().map_or(0, |counted| counted.rows)))
        }
        _ => None,
    };
    let mut faults = Vec::new();
    if known <= 0.0 {
        return Fitness { column, known: 0.0, distinct: 0, faults: vec![Fault::Absent] };
    }
    let (rows, distinct, most) = frequent.unwrap_or_else(|| sampled_counts(sample, column));
    let largest = most as f64 / (rows.max(1)) as f64;
    if distinct == 1 && rows > 1 {
        faults.push(Fault::Constant);
    } else if largest >= MIN_NEARLY_CONSTANT && rows > 1 {
        faults.push(Fault::NearlyConstant { largest });
    }
    if let Some(absence) = absence.filter(|absence| !has_one_source && absence.uncertainty_by_source >= MIN_LEAK)
        && (MIN_MISSING..=1.0 - MIN_MISSING).contains(&absence.share)
    {
        faults.push(Fault::AbsenceLeaksSource { uncertainty: absence.uncertainty_by_source });
    }
    let information = information_on_source(sample, column);
    if let Some(information) = information.filter(|information| !has_one_source && *information >= MIN_LEAK) {
        faults.push(Fault::ValueLeaksSource { information });
    }
    if let Some(share) = source_specific_share(sample, column).filter(|share| *share >= MIN_SOURCE_SPECIFIC) {
        faults.push(Fault::SourceSpecificValues { share });
    }
    if let Some(index) = drift_index(sample, column).filter(|index| *index >= stability::SHIFT_THRESHOLD) {
        faults.push(Fault::Drifts { index });
    }
    if known < 0.5 {
        faults.push(Fault::MostlyMissing);
    }
    if let Some(text) = text.filter(|text| text.rare_values >= MIN_RARE_VALUES && text.distinct > text.values_for_90) {
        faults.push(Fault::LongTail {
            values: text.rare_values,
            share: text.rare_rows as f64 / text.known.max(1) as f64,
        });
    }
    Fitness { column, known, distinct, faults }
}

/// For a column without a profile (the date), from the sample: known rows, distinct values, and rows with the most
/// frequent value.
fn sampled_counts(sample: &Sample, column: Column) -> (i64, i64, i64) {
    let mut counts: HashMap<Key<'_>, i64> = HashMap::new();
    (0..sample.len()).filter_map(|row| sample.key(column, row)).for_each(|key| *counts.entry(key).or_default() += 1);
    (counts.values().sum(), counts.len() as i64, counts.values().copied().max().unwrap_or(0))
}

/// Mutual information of value and source over the smaller of their entropies; `None` where that is close to zero.
fn information_on_source(sample: &Sample, column: Column) -> Option<f64> {
    let bins = Bins::of(sample, column);
    let mut table: Table = vec![vec![0.0; sample.source_bins]; bins.len()];
    for row in 0..sample.len() {
        if let Some(bin) = bins.bin_of(sample, column, row) {
            table[bin][sample.sources[row]] += 1.0;
        }
    }
    let (both, values, sources) = mutual_information(&table);
    let smaller = values.min(sources);
    (smaller > 0.1).then(|| both / smaller)
}

/// The share of known texts that occur in one source only. For a model or a generation, the make is ignored.
fn source_specific_share(sample: &Sample, column: Column) -> Option<f64> {
    let mut by_value: HashMap<&str, Vec<f64>> = HashMap::new();
    let mut by_source = vec![0.0; sample.source_bins];
    for row in 0..sample.len() {
        if let Some(text) = sample.text(column, row) {
            let source = sample.sources[row];
            by_value.entry(text).or_insert_with(|| vec![0.0; sample.source_bins])[source] += 1.0;
            by_source[source] += 1.0;
        }
    }
    let known: f64 = by_source.iter().sum();
    let largest = by_source.iter().copied().fold(0.0, f64::max);
    if known < 1.0 || largest > MAX_SOURCE_SHARE * known {
        return None;
    }
    let own = by_value.values().filter_map(|rows| {
        let total: f64 = rows.iter().sum();
        let most = rows.iter().copied().fold(0.0, f64::max);
        (total >= MIN_ROWS_PER_VALUE && most > 0.99 * total).then_some(total)
    });
    Some(own.sum::<f64>() / known)
}

/// The population stability index between the oldest and the newest third. The year of manufacture is replaced by the
/// age, since later listings are naturally of later cars.
fn drift_index(sample: &Sample, column: Column) -> Option<f64> {
    if column == Column::ListingDate {
        return None;
    }
    let bins = Bins::of(sample, column);
    let mut counts = [vec![0.0; bins.len()], vec![0.0; bins.len()]];
    for row in 0..sample.len() {
        if let (Some(is_new), Some(bin)) = (sample.is_new(row), bins.bin_of(sample, column, row)) {
            counts[usize::from(is_new)][bin] += 1.0;
        }
    }
    let has_enough_rows = counts.iter().all(|counts| counts.iter().sum::<f64>() >= 100.0);
    has_enough_rows.then(|| stability_index(&counts[0], &counts[1]))
}

/// Bins of a column: one per frequent text and one for the rest, or deciles of a number.
enum Bins<'a> {
    Texts(HashMap<&'a str, usize>),
    Edges(Vec<f64>),
}

impl<'a> Bins<'a> {
    fn of(sample: &'a Sample, column: Column) -> Self {
        if column.kind() == Kind::Text {
            let mut counts: HashMap<&str, i64> = HashMap::new();
            (0..sample.len())
                .filter_map(|row| sample.text(column, row))
                .for_each(|text| *counts.entry(text).or_default() += 1);
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            let frequent = counts.into_iter().take(FREQUENT_TEXTS);
            return Self::Texts(frequent.enumerate().map(|(bin, (text, _))| (text, bin)).collect());
        }
        let mut values: Vec<f64> = (0..sample.len()).filter_map(|row| Self::number(sample, column, row)).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self::Edges(quantile::interpolated_edges(&values, NUMBER_BINS))
    }

    fn number(sample: &Sample, column: Column, row: usize) -> Option<f64> {
        if column == Column::Year {
            sample.age(row).or_else(|| sample.number(column, row))
        } else {
            sample.number(column, row)
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(_) => FREQUENT_TEXTS + 1,
            Self::Edges(edges) => edges.len() + 1,
        }
    }

    fn bin_of(&self, sample: &Sample, column: Column, row: usize) -> Option<usize> {
        match self {
            Self::Texts(bins) => sample.text(column, row).map(|text| bins.get(text).copied().unwrap_or(FREQUENT_TEXTS)),
            Self::Edges(edges) => {
                let value = Self::number(sample, column, row)?;
                Some(edges.partition_point(|edge| *edge <= value))
            }
        }
    }
}
