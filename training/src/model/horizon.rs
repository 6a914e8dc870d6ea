//! Days outside of the dates of the training data: the network sees a car of the same age on the nearest day that it knows, and
//! the quantiles are shifted and widened with the distance.

use burn::module::Module;
use burn::prelude::*;
use chrono::NaiveDate;
use domain::Column;
use domain::feature::{NUMERIC, numeric_index};
use domain::identity::{DAYS_PER_YEAR, days_since_epoch};

use super::bins::{Bin, Bins};
use super::derived::raw_number;

/// The farthest distance that is told apart, in years, so that no infinity reaches a matrix product.
const MAX_YEARS: f64 = 100.0;

/// Moves cars to the dates of the training data.
#[derive(Module, Debug)]
pub(super) struct DateRange {
    /// The first and last day, in days since 1970-01-01.
    first: f64,
    last: f64,
    /// What a day adds to each raw number, `[1, F]`: a day to the date, and its part of a year to the year of manufacture, so that
    /// the age stays.
    per_day: Tensor<2>,
    /// What is added to each raw number, `[1, F]`: nothing, or NaN to a date that the network knows nothing of.
    known: Tensor<2>,
}

impl DateRange {
    /// The range of the training dates. Without one, dates are ignored: an age that no training row had would tell nothing, but
    /// the plausibility of a mileage depends on it.
    pub(super) fn new(range: Option<[NaiveDate; 2]>, device: &Device) -> Self {
        let [first, last] = range.map_or([f32::MIN, f32::MAX].map(f64::from), |range| range.map(days_since_epoch));
        let mut per_day = [0.0; NUMERIC.len()];
        per_day[numeric_index(Column::ListingDate)] = 1.0;
        per_day[numeric_index(Column::Year)] = 1.0 / DAYS_PER_YEAR;
        let mut known = [0.0; NUMERIC.len()];
        if range.is_none() {
            known[numeric_index(Column::ListingDate)] = f32::NAN;
        }
        let row = |values: [f32; NUMERIC.len()]| {
            Tensor::from_data(TensorData::new(values.to_vec(), [1, NUMERIC.len()]), device)
        };
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        let per_day = per_day.map(|per_day: f64| per_day as f32);
        Self { first, last, per_day: row(per_day), known: row(known) }
    }

    /// The raw numbers `[N, F]` of the same cars within the dates of the training data, and how many years they were moved,
    /// `[N, 1]`: negative before the first day, 0 without a date.
    pub(super) fn clamp(&self, numeric: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let date = raw_number(numeric, Column::ListingDate);
        let is_missing = date.clone().is_nan();
        let days = date.clone() - date.clamp(self.first, self.last);
        let limit = MAX_YEARS * DAYS_PER_YEAR;
        let days = days.mask_fill(is_missing, 0.0).clamp(-limit, limit); // [N, 1]
        let moved = numeric.clone() + self.known.clone() - days.clone().matmul(self.per_day.clone());
        (moved, days / DAYS_PER_YEAR)
    }
}

/// What is added to the log quantiles, linear between distances in years.
#[derive(Module, Debug)]
pub struct LevelEffect {
    bins: Bins,
    /// What each bin adds, `[B, Q]`.
    effects: Tensor<2>,
}

/// The distances between which the effect is linear, in years; beyond the last it stays.
const DISTANCES: [f64; 9] = [0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0];

impl LevelEffect {
    /// The effect of `at(years, q)` on each of `quantiles` at a signed distance in years; it must be 0 at no distance.
    #[must_use]
    pub fn new(quantiles: usize, at: impl Fn(f64, usize) -> f64, device: &Device) -> Self {
        let (mut bins, mut effects) = (Vec::new(), Vec::new());
        for sign in [-1.0, 1.0] {
            for pair in DISTANCES.windows(2) {
                let [near, far] = [sign * pair[0], sign * pair[1]];
                #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
                {
                    bins.push(Bin::between(near as f32, far as f32));
                    effects.extend((0..quantiles).map(|quantile| (at(far, quantile) - at(near, quantile)) as f32));
                }
            }
        }
        let effects = Tensor::from_data(TensorData::new(effects, [bins.len(), quantiles]), device);
        Self { bins: Bins::new(0, 1, &[bins], device), effects }
    }

    /// The effects `[N, Q]` at signed distances `[N, 1]`.
    pub(super) fn at(&self, years: Tensor<2>) -> Tensor<2> {
        self.bins.encode(years).matmul(self.effects.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(date: f32, year: f32) -> Tensor<2> {
        let mut listing = [5.0_f32; NUMERIC.len()];
        listing[numeric_index(Column::ListingDate)] = date;
        listing[numeric_index(Column::Year)] = year;
        Tensor::from_data(TensorData::new(listing.to_vec(), [1, NUMERIC.len()]), &Device::flex())
    }

    /// The date, the year and the distance, rounded to hundredths.
    fn clamped(range: Option<[i32; 2]>, date: f32, year: f32) -> (f32, f32, f32) {
        let range = range.map(|range| range.map(|days| NaiveDate::from_epoch_days(days).unwrap()));
        let (numbers, years) = DateRange::new(range, &Device::flex()).clamp(&numbers(date, year));
        let numbers: Vec<f32> = numbers.into_data().iter().collect();
        let unchanged = numbers.iter().filter(|number| (**number - 5.0).abs() < f32::EPSILON).count();
        assert_eq!(unchanged, NUMERIC.len() - 2, "{numbers:?}");
        let years: Vec<f32> = years.into_data().iter().collect();
        let rounded = |number: f32| (number * 100.0).round() / 100.0;
        let date = numbers[numeric_index(Column::ListingDate)];
        (date, rounded(numbers[numeric_index(Column::Year)]), rounded(years[0]))
    }

    #[test]
    fn a_car_keeps_its_age_outside_of_the_training_dates() {
        let range = Some([18_000, 20_000]);
        assert_eq!(clamped(range, 19_000.0, 2015.0), (19_000.0, 2015.0, 0.0));
        assert_eq!(clamped(range, 20_000.0 + 1461.0, 2015.0), (20_000.0, 2011.0, 4.0));
        assert_eq!(clamped(range, 18_000.0 - 1461.0, 2015.0), (18_000.0, 2019.0, -4.0));
        for (range, date) in [(None, 25_000.0), (range, f32::NAN)] {
            let (date, year, years) = clamped(range, date, 2015.0);
            assert!(date.is_nan());
            assert_eq!((year, years), (2015.0, 0.0));
        }
        assert!(clamped(range, f32::INFINITY, 2015.0).1.is_finite());
    }

    #[test]
    fn the_effect_is_that_of_the_distance() {
        let at = |years: f64, quantile: usize| if quantile == 0 { -years.abs().sqrt() } else { 0.1 * years.max(0.0) };
        let effect = LevelEffect::new(2, at, &Device::flex());
        for (years, expected) in [
            (0.0, [0.0, 0.0]),
            (4.0, [-2.0, 0.4]),
            (-4.0, [-2.0, 0.0]),
            (6.0, [-(2.0 + 8.0_f32.sqrt()) / 2.0, 0.6]),
            (90.0, [-20.0_f32.sqrt(), 2.0]),
        ] {
            let years = Tensor::from_data(TensorData::new(vec![years], [1, 1]), &Device::flex());
            let actual: Vec<f32> = effect.at(years).into_data().iter().collect();
            assert!(
                actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-5),
                "{actual:?}"
            );
        }
    }
}
