//! Computes accuracy cards from outcomes.

mod bootstrap;
mod outcome;

use std::collections::BTreeMap;

use domain::accuracy::{Accuracy, AccuracyCard, Surface};
use domain::calibration::AGE_EDGES;
use domain::quantile;
use domain::{Column, Listing};

use bootstrap::bootstrap;
pub(crate) use outcome::{Outcome, average, count};

/// The minimum number of rows of a segment: with fewer, its accuracy is mostly noise.
pub(crate) const MIN_SEGMENT_ROWS: usize = 30;
/// The number of equal-sized bands of predicted price.
const PRICE_BANDS: usize = 5;

/// The accuracy card of outcomes; `None` without outcomes.
pub(crate) fn measure_card(outcomes: &[Outcome], surface: Surface) -> Option<AccuracyCard> {
    let overall = measure_accuracy(&outcomes.iter().collect::<Vec<_>>())?;
    let mut grouped: BTreeMap<&str, BTreeMap<String, Vec<&Outcome>>> = BTreeMap::new();
    for outcome in outcomes {
        for (family, name) in &outcome.segments {
            grouped.entry(family).or_default().entry(name.clone()).or_default().push(outcome);
        }
    }
    grouped.insert("predicted_price", price_bands(outcomes));
    let mut card = AccuracyCard {
        overall,
        segments: BTreeMap::new(),
        surface,
        forms: Vec::new(),
        newest: None,
        floor: None,
        stability: None,
        forecast: None,
    };
    for (family, members) in grouped {
        card.segments.entry(family.to_owned()).or_default();
        for (name, rows) in members {
            add_segment(&mut card, family, name, &rows);
        }
    }
    Some(card)
}

/// Adds the accuracy of a segment, unless it has too few rows.
pub(crate) fn add_segment(card: &mut AccuracyCard, family: &str, name: String, rows: &[&Outcome]) {
    if rows.len() >= MIN_SEGMENT_ROWS
        && let Some(accuracy) = measure_accuracy(rows)
    {
        card.segments.entry(family.to_owned()).or_default().insert(name, accuracy);
    }
}

/// The outcomes in bands of predicted price. Bands of asking price would be biased: among expensive cars, those that the
/// model underestimates are over-represented.
fn price_bands(outcomes: &[Outcome]) -> BTreeMap<String, Vec<&Outcome>> {
    let mut rows: Vec<&Outcome> = outcomes.iter().collect();
    rows.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
    let size = rows.len().div_ceil(PRICE_BANDS).max(1);
    let mut bands = BTreeMap::new();
    for (index, band) in rows.chunks(size).enumerate() {
        let (Some(first), Some(last)) = (band.first(), band.last()) else { continue };
        bands.insert(format!("{}. {:.0} to {:.0}", index + 1, first.predicted, last.predicted), band.to_vec());
    }
    bands
}

pub(crate) fn measure_accuracy(outcomes: &[&Outcome]) -> Option<Accuracy> {
    if outcomes.is_empty() {
        return None;
    }
    let mean = |value: &dyn Fn(&Outcome) -> f64| average(outcomes.iter().map(|outcome| value(outcome)));
    let share = |holds: &dyn Fn(&Outcome) -> bool| mean(&|outcome| f64::from(u8::from(holds(outcome))));
    let mean_price = mean(&|outcome| outcome.actual);
    let squared_error = mean(&|outcome| (outcome.predicted - outcome.actual).powi(2));
    let variance = mean(&|outcome| (outcome.actual - mean_price).powi(2));
    let median_ratio = median(outcomes.iter().map(|outcome| outcome.ratio()));
    Some(Accuracy {
        rows: outcomes.len(),
        mape: mean(&Outcome::absolute_percentage_error),
        median_ape: median(outcomes.iter().map(|outcome| outcome.absolute_percentage_error())),
        mae: mean(&|outcome| (outcome.predicted - outcome.actual).abs()),
        rmsle: mean(&|outcome| (outcome.predicted.ln_1p() - outcome.actual.ln_1p()).powi(2)).sqrt(),
        r2: if variance > 0.0 { 1.0 - squared_error / variance } else { 0.0 },
        within_5: share(&|outcome| outcome.absolute_percentage_error() <= 0.05),
        within_10: share(&|outcome| outcome.absolute_percentage_error() <= 0.1),
        within_20: share(&|outcome| outcome.absolute_percentage_error() <= 0.2),
        coverage_80: share(&Outcome::is_covered),
        median_width_80: median(outcomes.iter().map(|outcome| (outcome.high - outcome.low) / outcome.predicted)),
        cod: mean(&|outcome| (outcome.ratio() - median_ratio).abs()) / median_ratio,
        prd: mean(&Outcome::ratio) / (mean(&|outcome| outcome.predicted) / mean_price),
        intervals_95: bootstrap(outcomes),
    })
}

/// The segments of a listing: brand, age and the number of nonempty fields.
pub(crate) fn segments(listing: &Listing, age: f64) -> Vec<(&'static str, String)> {
    let filled = Column::descriptive().iter().filter(|column| listing.get(**column).is_some()).count();
    let mut segments = vec![
        ("age", band(age, &AGE_EDGES, "years")),
        ("completeness", format!("{:02}–{:02} fields", filled / 5 * 5, filled / 5 * 5 + 4)),
    ];
    if let Some(brand) = listing.text(Column::Brand) {
        segments.push(("brand", brand.to_owned()));
    }
    segments
}

fn band(value: f64, edges: &[f64], unit: &str) -> String {
    let index = edges.iter().position(|edge| value < *edge).unwrap_or(edges.len());
    match index {
        0 => format!("1. below {} {unit}", edges[0]),
        _ if index == edges.len() => format!("{}. {} {unit} and more", index + 1, edges[index - 1]),
        _ => format!("{}. {}–{} {unit}", index + 1, edges[index - 1], edges[index]),
    }
}

/// The median of values, of which there is at least one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    quantile::median(&values).unwrap_or(f64::NAN)
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
    fn metrics_match_their_definitions() {
        let card =
            measure_card(&[outcome(100.0, 110.0), outcome(200.0, 150.0), outcome(50.0, 50.0)], Surface::default())
                .unwrap();
        let accuracy = card.overall;
        assert_eq!(accuracy.rows, 3);
        assert!((accuracy.mape - 0.35 / 3.0).abs() < 1e-12);
        assert!((accuracy.median_ape - 0.1).abs() < 1e-12);
        assert!((accuracy.mae - 20.0).abs() < 1e-12);
        assert!((accuracy.within_10 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.within_20 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.coverage_80 - 2.0 / 3.0).abs() < 1e-12);
        assert!((accuracy.median_width_80 - 0.2).abs() < 1e-9);
        // Ratios of 1.1, 0.75 and 1: the median is 1, the mean 0.95, that of the sums 310 / 350.
        assert!((accuracy.cod - 0.35 / 3.0).abs() < 1e-12);
        assert!((accuracy.prd - 0.95 / (310.0 / 350.0)).abs() < 1e-12);
        assert!(card.segments["brand"].is_empty(), "three rows are too few");
    }

    #[test]
    fn bands_of_predicted_price_are_of_equal_size() {
        let outcomes: Vec<Outcome> = (1..=200_u32).rev().map(|price| outcome(100.0, f64::from(price))).collect();
        let card = measure_card(&outcomes, Surface::default()).unwrap();
        let bands: Vec<(&String, usize)> =
            card.segments["predicted_price"].iter().map(|(name, accuracy)| (name, accuracy.rows)).collect();
        assert_eq!(bands.len(), 5);
        assert_eq!(bands[0], (&"1. 1 to 40".to_owned(), 40));
    }

    #[test]
    fn intervals_contain_the_metric_and_narrow_with_more_rows() {
        let sample = |rows: u32| -> Vec<Outcome> {
            (0..rows).map(|row| outcome(100.0, 80.0 + f64::from(row * 7 % 40))).collect()
        };
        let measure = |rows| measure_card(&sample(rows), Surface::default()).unwrap().overall;
        let (few, many) = (measure(40), measure(4000));
        for accuracy in [&few, &many] {
            let [low, high] = accuracy.intervals_95.mape;
            assert!(low < accuracy.mape && accuracy.mape < high, "{accuracy:?}");
        }
        let width = |accuracy: &Accuracy| accuracy.intervals_95.mape[1] - accuracy.intervals_95.mape[0];
        assert!(width(&many) < width(&few) / 5.0);
    }

    #[test]
    fn without_outcomes_there_is_no_card() {
        assert_eq!(measure_card(&[], Surface::default()), None);
    }

    #[test]
    fn bands_are_numbered_in_order() {
        assert_eq!(band(1.0, &[3.0, 7.0], "years"), "1. below 3 years");
        assert_eq!(band(5.0, &[3.0, 7.0], "years"), "2. 3–7 years");
        assert_eq!(band(50.0, &[3.0, 7.0], "years"), "3. 7 years and more");
    }
}
