//! The accuracy card of a model, on a split of the database or on a labelled file.

use chrono::NaiveDate;
use domain::accuracy::{AccuracyCard, Outcome, segments};
use domain::calibration::CalibrationRow;
use domain::column::Kind;
use domain::identity::age;
use domain::{Column, Listing, PricedListing, Valuation, Value};
use onnx_model::Model;
use onnx_model::model::DEFAULT_LEVEL;
use storage::ListingChunk;
use tables::{Options, Source, Table};

use crate::Error;

/// A card, and how many rows of the file could not be used.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// What was measured.
    pub card: AccuracyCard,
    /// Rows without a usable price or listing.
    pub rejected: u64,
}

/// Rows that are valued together.
const BATCH: usize = 1024;

/// Evaluates a model on a table with prices.
///
/// # Errors
/// When the table cannot be read, or no row of it has a price.
pub fn evaluate_file(
    model: &Model,
    source: Source<'_>,
    options: Options,
    today: NaiveDate,
) -> Result<Evaluation, Error> {
    let file = source.name().to_owned();
    let mut table = Table::open(source, Options { price_required: true, ..options })?;
    let header = table.header().clone();
    let mut outcomes = Outcomes::new(model, today);
    let mut rejected = 0;
    for row in table.rows()? {
        match row?.priced(&header, today) {
            Ok(row) => outcomes.add(row)?,
            Err(_) => rejected += 1,
        }
    }
    let card = outcomes.card()?.ok_or(Error::NothingToEvaluate { file, rejected })?;
    Ok(Evaluation { card, rejected })
}

/// Values rows whose price is known, a batch at a time.
pub(crate) struct Outcomes<'a> {
    model: &'a Model,
    today: NaiveDate,
    waiting: Vec<PricedListing>,
    measured: Vec<Outcome>,
}

impl<'a> Outcomes<'a> {
    pub(crate) fn new(model: &'a Model, today: NaiveDate) -> Self {
        Self { model, today, waiting: Vec::new(), measured: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: PricedListing) -> Result<(), Error> {
        self.waiting.push(row);
        if self.waiting.len() == BATCH { self.measure() } else { Ok(()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.measured.len() + self.waiting.len()
    }

    /// The card of all rows so far; `None` when there were none.
    pub(crate) fn card(mut self) -> Result<Option<AccuracyCard>, Error> {
        self.measure()?;
        Ok(AccuracyCard::measure(&self.measured))
    }

    fn measure(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.waiting);
        let listings: Vec<Listing> = rows.iter().map(|row| row.listing.clone()).collect();
        let valuations = self.model.value(&listings, self.today, DEFAULT_LEVEL)?;
        let outcomes = rows.iter().zip(valuations).map(|(row, valuation)| Outcome {
            actual: row.price,
            predicted: valuation.price,
            low: valuation.low,
            high: valuation.high,
            segments: segments(&domain::identity::canonical_listing(&row.listing), age_of(row, &valuation), row.price),
        });
        self.measured.extend(outcomes);
        Ok(())
    }
}

/// What the calibration needs to know of rows whose price is known.
pub(crate) fn calibration_rows(
    model: &Model,
    rows: &[PricedListing],
    today: NaiveDate,
) -> Result<Vec<CalibrationRow>, Error> {
    let listings: Vec<Listing> = rows.iter().map(|row| row.listing.clone()).collect();
    let valuations = model.value(&listings, today, DEFAULT_LEVEL)?;
    let rows = rows.iter().zip(valuations).map(|(row, valuation)| {
        #[expect(clippy::cast_possible_truncation, reason = "they were single precision before")]
        let quantiles = valuation.quantiles.iter().map(|price| *price as f32).collect();
        CalibrationRow { quantiles, price: row.price, age: age_of(row, &valuation) }
    });
    Ok(rows.collect())
}

/// A stored row as a listing again.
pub(crate) fn stored_listing(chunk: &ListingChunk, row: usize) -> PricedListing {
    let mut listing = Listing::default();
    for column in Column::descriptive() {
        let value = match column.kind() {
            Kind::Text => chunk.text(*column, row).map(|text| Value::Text(text.to_owned())),
            Kind::Date => chunk.number(*column, row).and_then(|days| {
                #[expect(clippy::cast_possible_truncation, reason = "days are whole and far below 2^31")]
                NaiveDate::from_epoch_days(days as i32).map(Value::Date)
            }),
            Kind::Integer { .. } | Kind::Decimal { .. } => {
                chunk.number(*column, row).map(|number| Value::Number(f64::from(number)))
            }
        };
        listing.set(*column, value);
    }
    PricedListing { listing, price: chunk.price(row), car_group: None, source: None }
}

fn age_of(row: &PricedListing, valuation: &Valuation) -> f64 {
    row.listing.number(Column::Year).map_or(f64::NAN, |year| age(valuation.as_of, year))
}
