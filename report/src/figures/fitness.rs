//! Whether a column is fit for the model.

use std::collections::HashMap;

use domain::Column;
use domain::column::Kind;
use domain::{quantile, stability};
use serde::Serialize;

use super::distribution::{NumberColumn, TextColumn};
use super::information::{Table, mutual_information, stability_index};
use super::missing::Missing;
use super::sample::{Key, Sample};

/// What is to be said of a column, the gravest first.
#[derive(Debug, Serialize)]
pub(crate) struct Fitness {
    pub(crate) column: Column,
    /// The share of listings that have a value.
    pub(crate) known: f64,
    /// Different values.
    pub(crate) distinct: i64,
    /// Empty for a column without fault.
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
        /// The share of the most frequent value.
        largest: f64,
    },
    /// Whether it is missing depends on the source.
    #[serde(rename = "absence_tells_source")]
    AbsenceLeaksSource {
        /// The share of what there is to know of the absence that the source tells.
        told: f64,
    },
    /// Its value depends on the source.
    #[serde(rename = "value_tells_source")]
    ValueLeaksSource {
        /// Mutual information with the source, as a share of the smaller of both entropies.
        told: f64,
    },
    /// Its values are such as only one source writes, although several sources fill it in.
    OwnWords {
        /// The share of the known values that are.
        share: f64,
    },
    /// The newest third of the listings differs from the oldest.
    Drifts {
        /// The population stability index.
        index: f64,
    },
    /// More listings lack it than have it.
    MostlyMissing,
    /// Many values that few listings have.
    LongTail {
        /// Values of fewer than 10 listings.
        values: i64,
        /// Their share of the listings.
        share: f64,
    },
}

/// From this share of one value on, a column is nearly constant.
const NEARLY_ALL: f64 = 0.97;
/// From here on, an absence or a value tells the source.
const TELLS: f64 = 0.5;
/// Less is missing, or known, than this: too little to leak anything.
const SOMETIMES: f64 = 0.01;
/// From this share on, sources do not write the same words.
const MANY_OWN_WORDS: f64 = 0.2;
/// A value that fewer listings of the sample have may be of one source by chance.
const MIN_OF_VALUE: f64 = 20.0;
/// A source that fills a column in more often than this is the column.
const ONE_SOURCE: f64 = 0.8;
const MANY_RARE_VALUES: i64 = 30;
/// Values that are told apart, of a text; the others are taken together.
const FREQUENT: usize = 15;
/// Bins of a number.
const TENTHS: u32 = 10;

/// Judges every column but the price.
pub(crate) fn judge(
    sample: &Sample,
    missing: &Missing,
    texts: &[TextColumn],
    numbers: &[NumberColumn],
) -> Vec<Fitness> {
    let is_alone = missing.source_leak.is_none();
    Column::descriptive().iter().map(|column| fitness(*column, sample, missing, texts, numbers, is_alone)).collect()
}

fn fitness(
    column: Column,
    sample: &Sample,
    missing: &Missing,
    texts: &[TextColumn],
    numbers: &[NumberColumn],
    is_alone: bool,
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
    } else if largest >= NEARLY_ALL && rows > 1 {
        faults.push(Fault::NearlyConstant { largest });
    }
    if let Some(absence) = absence.filter(|absence| !is_alone && absence.told_by_source >= TELLS)
        && (SOMETIMES..=1.0 - SOMETIMES).contains(&absence.share)
    {
        faults.push(Fault::AbsenceLeaksSource { told: absence.told_by_source });
    }
    if let Some(told) = information_on_source(sample, column).filter(|told| !is_alone && *told >= TELLS) {
        faults.push(Fault::ValueLeaksSource { told });
    }
    if let Some(share) = own_words(sample, column).filter(|share| *share >= MANY_OWN_WORDS) {
        faults.push(Fault::OwnWords { share });
    }
    if let Some(index) = drift(sample, column).filter(|index| *index >= stability::SHIFT) {
        faults.push(Fault::Drifts { index });
    }
    if known < 0.5 {
        faults.push(Fault::MostlyMissing);
    }
    if let Some(text) = text.filter(|text| text.rare_values >= MANY_RARE_VALUES && text.distinct > text.values_for_90) {
        faults.push(Fault::LongTail {
            values: text.rare_values,
            share: text.rare_rows as f64 / text.known.max(1) as f64,
        });
    }
    Fitness { column, known, distinct, faults }
}

/// Of a column that has no profile, the date: how many of the sample know it, how many values there
/// are, and how many have the most frequent one.
fn sampled_counts(sample: &Sample, column: Column) -> (i64, i64, i64) {
    let mut counts: HashMap<Key<'_>, i64> = HashMap::new();
    (0..sample.len()).filter_map(|row| sample.key(column, row)).for_each(|key| *counts.entry(key).or_default() += 1);
    (counts.values().sum(), counts.len() as i64, counts.values().copied().max().unwrap_or(0))
}

/// Mutual information of value and source over the smaller of their entropies; `None` where either
/// says next to nothing.
fn information_on_source(sample: &Sample, column: Column) -> Option<f64> {
    let bins = Bins::of(sample, column);
    let mut table: Table = vec![vec![0.0; sample.source_places]; bins.len()];
    for row in 0..sample.len() {
        if let Some(bin) = bins.place(sample, column, row) {
            table[bin][sample.sources[row]] += 1.0;
        }
    }
    let (both, values, sources) = mutual_information(&table);
    let smaller = values.min(sources);
    (smaller > 0.1).then(|| both / smaller)
}

/// The share of known texts that one source alone writes. Of a model and a generation too the text
/// alone is looked at.
fn own_words(sample: &Sample, column: Column) -> Option<f64> {
    let mut by_value: HashMap<&str, Vec<f64>> = HashMap::new();
    let mut by_source = vec![0.0; sample.source_places];
    for row in 0..sample.len() {
        if let Some(text) = sample.text(column, row) {
            let source = sample.sources[row];
            by_value.entry(text).or_insert_with(|| vec![0.0; sample.source_places])[source] += 1.0;
            by_source[source] += 1.0;
        }
    }
    let known: f64 = by_source.iter().sum();
    let largest = by_source.iter().copied().fold(0.0, f64::max);
    if known < 1.0 || largest > ONE_SOURCE * known {
        return None;
    }
    let own = by_value.values().filter_map(|rows| {
        let total: f64 = rows.iter().sum();
        let most = rows.iter().copied().fold(0.0, f64::max);
        (total >= MIN_OF_VALUE && most > 0.99 * total).then_some(total)
    });
    Some(own.sum::<f64>() / known)
}

/// How much the newest third differs from the oldest. Of the year of manufacture, the age is looked
/// at: later listings are of later cars as a matter of course.
fn drift(sample: &Sample, column: Column) -> Option<f64> {
    if column == Column::ListingDate {
        return None;
    }
    let bins = Bins::of(sample, column);
    let mut counts = [vec![0.0; bins.len()], vec![0.0; bins.len()]];
    for row in 0..sample.len() {
        if let (Some(is_new), Some(bin)) = (sample.is_new(row), bins.place(sample, column, row)) {
            counts[usize::from(is_new)][bin] += 1.0;
        }
    }
    let enough = counts.iter().all(|counts| counts.iter().sum::<f64>() >= 100.0);
    enough.then(|| stability_index(&counts[0], &counts[1]))
}

/// The values of a column in a few bins: a text's most frequent ones and the rest, a number's tenths.
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
            let frequent = counts.into_iter().take(FREQUENT);
            return Self::Texts(frequent.enumerate().map(|(place, (text, _))| (text, place)).collect());
        }
        let mut values: Vec<f64> = (0..sample.len()).filter_map(|row| Self::number(sample, column, row)).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self::Edges(quantile::interpolated_edges(&values, TENTHS))
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
            Self::Texts(_) => FREQUENT + 1,
            Self::Edges(edges) => edges.len() + 1,
        }
    }

    fn place(&self, sample: &Sample, column: Column, row: usize) -> Option<usize> {
        match self {
            Self::Texts(places) => sample.text(column, row).map(|text| places.get(text).copied().unwrap_or(FREQUENT)),
            Self::Edges(edges) => {
                let value = Self::number(sample, column, row)?;
                Some(edges.partition_point(|edge| *edge <= value))
            }
        }
    }
}
