//! Measures how predicted prices differ from those of the test split, for plots.

use chrono::NaiveDate;
use domain::Listing;
use domain::identity::{Split, days_since_epoch};
use domain::residuals::{Residuals, TestRow};
use onnx_model::Model;
use onnx_model::model::{DEFAULT_LEVEL, Predicted};

use crate::Error;
use crate::evaluate::MAX_ROWS;
use crate::stream::ListingStream;

/// The number of rows to value together.
const BATCH_ROWS: usize = 1024;

/// The residuals of a model on the test split; `None` without rows.
pub(crate) fn residuals_on_test(
    model: &Model,
    today: NaiveDate,
    stream: &mut ListingStream<'_>,
) -> Result<Option<Residuals>, Error> {
    let levels = interval_levels(model);
    let mut rows = Vec::new();
    stream.scan(Split::Test, |chunk| {
        let listings: Vec<(Listing, f64)> =
            (0..chunk.len()).map(|row| (chunk.listing(row), chunk.target(row))).collect();
        for batch in listings.chunks(BATCH_ROWS) {
            let predicted = model.predict(batch.iter().map(|(listing, _)| (listing, today)).collect())?;
            for (index, (listing, actual)) in batch.iter().enumerate() {
                rows.push(test_row(model, (&predicted, index), (listing, *actual), &levels)?);
            }
        }
        Ok(rows.len() < MAX_ROWS)
    })?;
    Ok(Residuals::measure(&rows, &quantile_levels(&levels)))
}

/// The levels of the intervals, the widest first.
fn interval_levels(model: &Model) -> Vec<f64> {
    let mut levels = model.signature().calibration.levels();
    levels.sort_unstable_by(|a, b| b.total_cmp(a));
    levels
}

/// The levels of the ends of the intervals and of the median, ascending.
fn quantile_levels(levels: &[f64]) -> Vec<f64> {
    let lower = levels.iter().map(|level| f64::midpoint(1.0, -level));
    let upper = levels.iter().rev().map(|level| f64::midpoint(1.0, *level));
    // Without the error of binary fractions.
    lower.chain([0.5]).chain(upper).map(|level| (1e6 * level).round() / 1e6).collect()
}

fn test_row(
    model: &Model,
    (predicted, index): (&Predicted<'_>, usize),
    (listing, actual): (&Listing, f64),
    levels: &[f64],
) -> Result<TestRow, Error> {
    let price = model.valuation(predicted, index, DEFAULT_LEVEL)?.price;
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    for level in levels {
        let valuation = model.valuation(predicted, index, *level)?;
        lower.push(valuation.low);
        upper.insert(0, valuation.high);
    }
    Ok(TestRow {
        age: model.calibration_car(predicted, index).age,
        day: listing.date().map(days_since_epoch),
        actual,
        predicted: price,
        quantiles: lower.into_iter().chain([price]).chain(upper).collect(),
    })
}
