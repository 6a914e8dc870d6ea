//! The accuracy card: how far a model's prices are from the asked ones, overall and by segment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::listing::Listing;

/// One valued row whose asking price is known.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The price that was asked.
    pub actual: f64,
    /// The model's price (its median).
    pub predicted: f64,
    /// Lower end of the 80 % interval.
    pub low: f64,
    /// Upper end of the 80 % interval.
    pub high: f64,
    /// The segments that the row belongs to: (family, name), such as ("brand", "kia").
    pub segments: Vec<(&'static str, String)>,
}

/// Accuracy of one set of rows. Errors and shares are fractions: 0.154 means 15.4 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many rows were measured.
    pub rows: usize,
    /// Mean absolute percentage error.
    pub mape: f64,
    /// Median absolute percentage error.
    pub median_ape: f64,
    /// Mean absolute error, in currency units.
    pub mae: f64,
    /// Root mean squared error of `ln(1 + price)`.
    pub rmsle: f64,
    /// Share of the prices' variance that is explained.
    pub r2: f64,
    /// Share of rows within 10 %.
    pub within_10: f64,
    /// Share of rows within 20 %.
    pub within_20: f64,
    /// Share of rows whose price lies in the 80 % interval.
    pub coverage_80: f64,
    /// Median width of the 80 % interval as a fraction of the price.
    pub median_width_80: f64,
}

/// Accuracy overall and by segment: family, then segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyCard {
    /// All rows.
    #[serde(flatten)]
    pub overall: Accuracy,
    /// By family of segments, then by segment.
    pub segments: BTreeMap<String, BTreeMap<String, Accuracy>>,
}

/// Segments with fewer rows say more about chance than about the model.
const SMALLEST_SEGMENT: usize = 30;

impl AccuracyCard {
    /// Measures outcomes; `None` when there are none.
    #[must_use]
    pub fn measure(outcomes: &[Outcome]) -> Option<Self> {
        let overall = Accuracy::measure(&outcomes.iter().collect::<Vec<_>>())?;
        let mut grouped: BTreeMap<String, BTreeMap<String, Vec<&Outcome>>> = BTreeMap::new();
        for outcome in outcomes {
            for (family, name) in &outcome.segments {
                let family = grouped.entry((*family).to_owned()).or_default();
                family.entry(name.clone()).or_default().push(outcome);
            }
        }
        let segments = grouped
            .into_iter()
            .map(|(family, members)| {
                let measured = members
                    .into_iter()
                    .filter(|(_, rows)| rows.len() >= SMALLEST_SEGMENT)
                    .filter_map(|(name, rows)| Some((name, Accuracy::measure(&rows)?)));
                (family, measured.collect())
            })
            .collect();
        Some(Self { overall, segments })
    }
}

impl Accuracy {
    fn measure(outcomes: &[&Outcome]) -> Option<Self> {
        if outcomes.is_empty() {
            return None;
        }
        let mean = |value: &dyn Fn(&Outcome) -> f64| average(outcomes.iter().map(|outcome| value(outcome)));
        let share = |holds: &dyn Fn(&Outcome) -> bool| mean(&|outcome| f64::from(u8::from(holds(outcome))));
        let mean_price = mean(&|outcome| outcome.actual);
        let squared_error = mean(&|outcome| (outcome.predicted - outcome.actual).powi(2));
        let variance = mean(&|outcome| (outcome.actual - mean_price).powi(2));
        Some(Self {
            rows: outcomes.len(),
            mape: mean(&Outcome::absolute_percentage_error),
            median_ape: median(outcomes.iter().map(|outcome| outcome.absolute_percentage_error())),
            mae: mean(&|outcome| (outcome.predicted - outcome.actual).abs()),
            rmsle: mean(&|outcome| (outcome.predicted.ln_1p() - outcome.actual.ln_1p()).powi(2)).sqrt(),
            r2: if variance > 0.0 { 1.0 - squared_error / variance } else { 0.0 },
            within_10: share(&|outcome| outcome.absolute_percentage_error() <= 0.1),
            within_20: share(&|outcome| outcome.absolute_percentage_error() <= 0.2),
            coverage_80: share(&|outcome| (outcome.low..=outcome.high).contains(&outcome.actual)),
            median_width_80: median(outcomes.iter().map(|outcome| (outcome.high - outcome.low) / outcome.predicted)),
        })
    }
}

impl Outcome {
    fn absolute_percentage_error(&self) -> f64 {
        ((self.predicted - self.actual) / self.actual).abs()
    }
}

/// The segments of a listing: brand, age, price band and how many of its fields are filled in.
#[must_use]
pub fn segments(listing: &Listing, age: f64, price: f64) -> Vec<(&'static str, String)> {
    let filled = Column::descriptive().iter().filter(|column| listing.get(**column).is_some()).count();
    let mut segments = vec![
        ("age", band(age, &[3.0, 7.0, 12.0, 20.0], "years")),
        ("price", band(price / 1000.0, &[300.0, 700.0, 1500.0, 3000.0], "thousand")),
        ("completeness", format!("{:02}–{:02} fields", filled / 5 * 5, filled / 5 * 5 + 4)),
    ];
    if let Some(brand) = listing.text(Column::Brand) {
        segments.push(("brand", brand.to_owned()));
    }
    segments
}

fn band(value: f64, edges: &[f64], unit: &str) -> String {
    let place = edges.iter().position(|edge| value < *edge).unwrap_or(edges.len());
    match place {
        0 => format!("1. below {} {unit}", edges[0]),
        _ if place == edges.len() => format!("{}. {} {unit} and more", place + 1, edges[place - 1]),
        _ => format!("{}. {}–{} {unit}", place + 1, edges[place - 1], edges[place]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    values.sum::<f64>() / count as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(actual: f64, predicted: f64) -> Outcome {
        Outcome {
            actual,
            predicted,
            low: predicted * 0.9,
            high: predicted * 1.1,
            segments: vec![("brand", "kia".into())],
        }
    }

    #[test]
    fn figures_follow_their_definitions() {
        let card = AccuracyCard::measure(&[outcome(100.0, 110.0), outcome(200.0, 150.0), outcome(50.0, 50.0)]).unwrap();
        let accuracy = card.overall;
        assert_eq!(accuracy.rows, 3);
        assert!((accuracy.mape - 0.35 / 3.0).abs() < 1e-12);
        assert!((accuracy.median_ape - 0.1).abs() < 1e-12);
        assert!((accuracy.mae - 20.0).abs() < 1e-12);
        assert!((accuracy.within_10 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.within_20 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.coverage_80 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.median_width_80 - 0.2).abs() < 1e-9);
        assert!(card.segments["brand"].is_empty(), "three rows are no segment");
    }

    #[test]
    fn nothing_measured_is_no_card() {
        assert_eq!(AccuracyCard::measure(&[]), None);
    }

    #[test]
    fn bands_read_in_order() {
        assert_eq!(band(1.0, &[3.0, 7.0], "years"), "1. below 3 years");
        assert_eq!(band(5.0, &[3.0, 7.0], "years"), "2. 3–7 years");
        assert_eq!(band(50.0, &[3.0, 7.0], "years"), "3. 7 years and more");
    }
}
