//! The level of the market after the newest listing: how it is expected to go on, and how far it may be from there. Both are
//! fitted on rolling origins (Tashman 2000): models trained on the listings before a cut day, evaluated on those since.

use chrono::NaiveDate;
use domain::accuracy::{Accuracy, Drift, Forecast, HorizonAccuracy, Origin};

use crate::accuracy::{MIN_SEGMENT_ROWS, Outcome, average, count, measure_accuracy, median};

/// The upper edges of the bands of distance, in months.
const BANDS: [u32; 4] = [3, 9, 18, 36];
/// The years for which [`Drift::Index`] follows the mean trend.
const INDEX_YEARS: f64 = 3.0;
/// The share by which a drift must be nearer to the level than none.
const MIN_GAIN: f64 = 0.1;
/// The wander without origins, about that of published price indices of used cars in most years.
const PRIOR_WANDER: f64 = 0.15;
/// The number of origins that it counts as much as, so that neither a few calm years nor one crisis promise as many more.
const PRIOR_ORIGINS: f64 = 4.0;
/// The greatest wander that is considered.
const MAX_WANDER: f64 = 2.0;
/// Half of the typical 80 % interval of the logarithm of a price, where no origin tells.
const TYPICAL_SPREAD: f64 = 0.25;

/// How the level of prices of the same cars at the same age has changed before a day, as the change of its logarithm in a year;
/// 0 where the dates span less than a year.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Trend {
    /// Over the last year.
    pub(crate) recent: f64,
    /// Over all years.
    pub(crate) overall: f64,
}

impl Trend {
    fn rate(self, drift: Drift) -> f64 {
        match drift {
            Drift::Flat => 0.0,
            Drift::DampedTrend => self.recent,
            Drift::Index => self.overall,
        }
    }
}

/// A row that was listed after the dates of its model.
#[derive(Clone, Debug)]
pub(crate) struct LaterOutcome {
    /// The distance from the newest listing of the model, in years.
    pub(crate) years: f64,
    /// The outcome, as if the day were the last one of the model.
    pub(crate) outcome: Outcome,
}

/// A cut day with the outcomes of the listings since.
#[derive(Clone, Debug)]
pub(crate) struct OriginOutcomes {
    /// The first day held out.
    pub(crate) since: NaiveDate,
    /// The newest listing of the model.
    pub(crate) market_as_of: NaiveDate,
    /// The trend before the cut day.
    pub(crate) trend: Trend,
    /// The listings since.
    pub(crate) rows: Vec<LaterOutcome>,
}

impl OriginOutcomes {
    /// The rows in each band of distance that has enough of them.
    fn cells(&self) -> impl Iterator<Item = (usize, Vec<&LaterOutcome>)> {
        let cells = (0..=BANDS.len()).map(|band| {
            let rows = self.rows.iter().filter(move |row| band_of(row.years) == band);
            (band, rows.collect::<Vec<_>>())
        });
        cells.filter(|(_, rows)| rows.len() >= MIN_SEGMENT_ROWS)
    }
}

fn band_of(years: f64) -> usize {
    BANDS.iter().position(|months| years * 12.0 <= f64::from(*months)).unwrap_or(BANDS.len())
}

/// The expected level and its uncertainty at a distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    drift: Drift,
    wander: f64,
    /// Half of the typical 80 % interval of the logarithm of a price.
    spread: f64,
}

impl Level {
    /// Fits the level to origins; without any, it stays and may wander as in other markets.
    pub(crate) fn fit(origins: &[&OriginOutcomes]) -> Self {
        let cells: Vec<(Trend, Vec<&LaterOutcome>)> =
            origins.iter().flat_map(|origin| origin.cells().map(|(_, rows)| (origin.trend, rows))).collect();
        let flat = Self { drift: Drift::Flat, wander: PRIOR_WANDER, spread: TYPICAL_SPREAD };
        if cells.is_empty() {
            return flat;
        }
        let spreads =
            cells.iter().flat_map(|(_, rows)| rows).map(|row| (row.outcome.high / row.outcome.low).ln() / 2.0);
        let flat = Self { spread: median(spreads), ..flat };
        let error = |drift| {
            let level = Self { drift, ..flat };
            average(cells.iter().map(|(trend, rows)| level.error(*trend, rows).abs()))
        };
        let best = [Drift::DampedTrend, Drift::Index].into_iter().min_by(|a, b| error(*a).total_cmp(&error(*b)));
        let drift = best.filter(|best| error(*best) < (1.0 - MIN_GAIN) * error(Drift::Flat)).unwrap_or(Drift::Flat);
        // The median, since the distances of an origin share its fate, and one crisis must not set the range for all days.
        let needed = median(cells.iter().map(|(trend, rows)| Self { drift, ..flat }.needed_wander(*trend, rows)));
        let origins = count(origins.len());
        let squares = origins * needed.powi(2) + PRIOR_ORIGINS * PRIOR_WANDER.powi(2);
        let wander = (squares / (origins + PRIOR_ORIGINS)).sqrt();
        Self { drift, wander, ..flat }
    }

    /// The wander with which the intervals of rows cover 80 %.
    fn needed_wander(&self, trend: Trend, rows: &[&LaterOutcome]) -> f64 {
        let (mut low, mut high) = (0.0, MAX_WANDER);
        for _ in 0..20 {
            let wander = f64::midpoint(low, high);
            if (Self { wander, ..*self }).coverage(trend, rows) < 0.8 {
                low = wander;
            } else {
                high = wander;
            }
        }
        high
    }

    /// The expected change of the logarithm of prices, 0 before the first day.
    fn drift(&self, trend: Trend, years: f64) -> f64 {
        let years = years.max(0.0);
        trend.rate(self.drift)
            * match self.drift {
                Drift::Flat => 0.0,
                Drift::DampedTrend => 1.0 - (-years).exp(),
                Drift::Index => years.min(INDEX_YEARS),
            }
    }

    /// What is added to both sides of the 80 % interval of the logarithm of a price: the independent errors of the car and of
    /// the level add up as their squares. The level's grows with the fourth root of the time, more slowly than that of a random
    /// walk: much of it comes at once, since the next listings are from other sites than the last.
    fn widening(&self, years: f64) -> f64 {
        (self.spread.powi(2) + self.wander.powi(2) * years.abs().sqrt()).sqrt() - self.spread
    }

    /// What is added to the quantile `level` of the logarithm of a price. Quantiles lie as those of the logistic distribution,
    /// which has heavier tails than the normal one.
    pub(crate) fn effect(&self, trend: Trend, years: f64, level: f64) -> f64 {
        let logit = |level: f64| (level / (1.0 - level)).ln();
        self.drift(trend, years) + logit(level) / logit(0.9) * self.widening(years)
    }

    fn apply(&self, trend: Trend, row: &LaterOutcome) -> Outcome {
        let LaterOutcome { years, outcome } = row;
        let shift = |level| self.effect(trend, *years, level).exp();
        let Outcome { actual, predicted, low, high, .. } = *outcome;
        Outcome {
            actual,
            predicted: predicted * shift(0.5),
            low: low * shift(0.1),
            high: high * shift(0.9),
            segments: Vec::new(),
        }
    }

    /// The median of the logarithm of asking to predicted price.
    fn error(&self, trend: Trend, rows: &[&LaterOutcome]) -> f64 {
        median(rows.iter().map(|row| -self.apply(trend, row).ratio().ln()))
    }

    fn coverage(&self, trend: Trend, rows: &[&LaterOutcome]) -> f64 {
        average(rows.iter().map(|row| f64::from(u8::from(self.apply(trend, row).is_covered()))))
    }

    /// The part of the accuracy card, with each origin under the level that the others give.
    pub(crate) fn forecast(&self, trend: Trend, origins: &[OriginOutcomes]) -> Forecast {
        let others = |index: usize| {
            let others = origins.iter().enumerate().filter(|(other, _)| *other != index);
            Self::fit(&others.map(|(_, origin)| origin).collect::<Vec<_>>())
        };
        let mut by_band: Vec<(usize, Vec<Outcome>)> = vec![(0, Vec::new()); BANDS.len() + 1];
        let mut measured = Vec::new();
        for (index, origin) in origins.iter().enumerate() {
            let level = others(index);
            for (band, rows) in origin.cells() {
                by_band[band].0 += 1;
                by_band[band].1.extend(rows.into_iter().map(|row| level.apply(origin.trend, row)));
            }
            let outcomes: Vec<Outcome> = origin.rows.iter().map(|row| level.apply(origin.trend, row)).collect();
            measured.extend(accuracy(&outcomes).map(|accuracy| Origin {
                since: origin.since,
                market_as_of: origin.market_as_of,
                level_error: level.error(origin.trend, &origin.rows.iter().collect::<Vec<_>>()),
                accuracy,
            }));
        }
        let months = BANDS.into_iter().map(Some).chain([None]);
        let horizons = months.zip(by_band).filter_map(|(up_to_months, (origins, outcomes))| {
            Some(HorizonAccuracy { up_to_months, origins, accuracy: accuracy(&outcomes)? })
        });
        Forecast {
            drift: self.drift,
            rate: trend.rate(self.drift),
            wander: self.wander,
            origins: measured,
            horizons: horizons.collect(),
        }
    }
}

fn accuracy(outcomes: &[Outcome]) -> Option<Accuracy> {
    measure_accuracy(&outcomes.iter().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREND: Trend = Trend { recent: 0.2, overall: 0.1 };

    /// An origin with 200 rows in each of four years, which the model misses by `error` at a distance and by up to 20 % more.
    fn origin(year: i32, error: impl Fn(f64) -> f64) -> OriginOutcomes {
        let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let rows = (0..800_u32).map(|row| {
            let years = f64::from(row % 4) + 0.1;
            let noise = 0.4 * (f64::from(row / 4) + 0.5) / 200.0 - 0.2;
            let outcome = Outcome {
                actual: 1e6 * (error(years) + noise).exp(),
                predicted: 1e6,
                low: 1e6 * (-0.16_f64).exp(),
                high: 1e6 * 0.16_f64.exp(),
                segments: Vec::new(),
            };
            LaterOutcome { years, outcome }
        });
        OriginOutcomes { since: day(year), market_as_of: day(year), trend: TREND, rows: rows.collect() }
    }

    fn fit(origins: &[OriginOutcomes]) -> Level {
        Level::fit(&origins.iter().collect::<Vec<_>>())
    }

    #[test]
    fn without_origins_the_level_stays_and_may_wander() {
        let level = fit(&[]);
        assert_eq!((level.drift, level.wander), (Drift::Flat, PRIOR_WANDER));
        assert!(level.effect(TREND, 0.0, 0.9).abs() < 1e-12);
        for years in [-3.0, 0.5, 20.0] {
            let effects = [0.05, 0.1, 0.5, 0.9, 0.95].map(|quantile| level.effect(TREND, years, quantile));
            assert!(effects.is_sorted() && effects[0] < 0.0, "{effects:?}");
            assert!(effects[2].abs() < 1e-12, "{effects:?}");
        }
    }

    #[test]
    fn the_drift_is_the_one_that_the_origins_followed() {
        let drift = |error: fn(f64) -> f64| fit(&[origin(2020, error), origin(2022, error)]).drift;
        assert_eq!(drift(|_| 0.0), Drift::Flat);
        assert_eq!(drift(|years| 0.2 * (1.0 - (-years).exp())), Drift::DampedTrend);
        assert_eq!(drift(|years| 0.1 * years.min(INDEX_YEARS)), Drift::Index);
        assert_eq!(drift(|years| -0.1 * years), Drift::Flat);
    }

    #[test]
    fn a_level_that_wandered_widens_the_intervals_until_they_cover() {
        let calm = fit(&[origin(2020, |_| 0.0), origin(2022, |_| 0.0)]);
        let error = |index: i32| if index % 2 == 0 { 0.3 } else { -0.3 };
        let origins: Vec<_> =
            (0..8).map(|index| origin(2015 + index, |years| error(index) * years.powf(0.25))).collect();
        let wild = fit(&origins);
        assert!(calm.wander < PRIOR_WANDER && wild.wander > 0.25, "{calm:?} {wild:?}");
        let card = wild.forecast(TREND, &origins);
        assert_eq!((card.origins.len(), card.horizons.len()), (8, 4));
        assert!((card.origins[0].level_error - 0.3 * 1.1).abs() < 0.05, "{card:?}");
        for horizon in card.horizons {
            assert!((0.6..0.9).contains(&horizon.accuracy.coverage_80), "{horizon:?}");
        }
    }
}
