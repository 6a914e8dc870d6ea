//! The accuracy card of a model, on a split of the database or on a labelled file.

use chrono::NaiveDate;
use domain::accuracy::{AccuracyCard, Surface};
use domain::calibration::CalibrationRow;
use domain::identity::{age, canonical_listing};
use domain::{Column, Listing, PricedListing, Value};
use onnx_model::Model;
use onnx_model::model::DEFAULT_LEVEL;
use storage::ListingChunk;
use tables::{Options, Source, Table};

use crate::Error;
use crate::accuracy::{Outcome, add_segment, measure_card, segments};
use crate::stream::is_maskable;

/// An accuracy card and the number of rejected rows.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The accuracy card.
    pub card: AccuracyCard,
    /// The number of rejected rows.
    pub rejected: u64,
}

/// The maximum number of listings of a split to evaluate, so that memory does not grow with the table; more would hardly
/// change the metrics.
pub(crate) const MAX_EVALUATED_ROWS: usize = 20_000;
/// The number of rows to value together.
const BATCH_ROWS: usize = 1024;

/// Evaluates a model on a table with prices.
///
/// # Errors
/// The table cannot be read, or has no valid rows.
pub fn evaluate_file(
    model: &Model,
    source: Source<'_>,
    options: Options,
    today: NaiveDate,
) -> Result<Evaluation, Error> {
    let file = source.name().to_owned();
    let mut table = Table::open(source, Options { price_required: true, ..options })?;
    let header = table.header().clone();
    let mut measurement = Measurement::new(model, today);
    let mut rejected = 0;
    for row in table.rows()? {
        match row?.priced(&header, today) {
            Ok(row) => measurement.add(row)?,
            Err(_) => rejected += 1,
        }
    }
    let card = measurement.card()?.ok_or(Error::NothingToEvaluate { file, rejected })?;
    Ok(Evaluation { card, rejected })
}

/// The evaluation of a model on rows with known prices, in batches: as listed, with fields removed, and with a higher mileage
/// or age, which must not raise the price.
pub(crate) struct Measurement<'a> {
    model: &'a Model,
    today: NaiveDate,
    pending: Vec<PricedListing>,
    as_listed: Vec<Outcome>,
    scenarios: [Vec<Outcome>; SCENARIOS.len()],
    dearer_with_mileage: usize,
    dearer_with_age: usize,
}

/// The scenarios with missing fields, by their names in the segment family `scenario`.
const SCENARIOS: [Scenario; 2] = [("required fields only", keep_required_fields), ("unknown model", remove_model)];
type Scenario = (&'static str, fn(&mut Listing));

/// Keeps the date, since the asking price is as of that day.
fn keep_required_fields(listing: &mut Listing) {
    let is_required = |column: &Column| *column == Column::Brand || !is_maskable(*column);
    for column in Column::descriptive().iter().filter(|column| !is_required(column)) {
        listing.set(*column, None);
    }
}

/// A missing text has the same id as an unknown one.
fn remove_model(listing: &mut Listing) {
    listing.set(Column::Model, None);
    listing.set(Column::VehicleGeneration, None);
}

impl<'a> Measurement<'a> {
    pub(crate) fn new(model: &'a Model, today: NaiveDate) -> Self {
        Self {
            model,
            today,
            pending: Vec::new(),
            as_listed: Vec::new(),
            scenarios: Default::default(),
            dearer_with_mileage: 0,
            dearer_with_age: 0,
        }
    }

    pub(crate) fn add(&mut self, row: PricedListing) -> Result<(), Error> {
        self.pending.push(row);
        if self.pending.len() == BATCH_ROWS { self.evaluate_batch() } else { Ok(()) }
    }

    /// Adds the listings of a chunk; false once there are enough.
    pub(crate) fn add_chunk(&mut self, chunk: &ListingChunk) -> Result<bool, Error> {
        (0..chunk.len()).try_for_each(|row| self.add(stored_listing(chunk, row)))?;
        Ok(self.len() < MAX_EVALUATED_ROWS)
    }

    fn len(&self) -> usize {
        self.as_listed.len() + self.pending.len()
    }

    /// The accuracy card of all rows; `None` without rows.
    pub(crate) fn card(mut self) -> Result<Option<AccuracyCard>, Error> {
        self.evaluate_batch()?;
        let rows = self.as_listed.len();
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let share = |count: usize| count as f64 / rows.max(1) as f64;
        let surface = Surface {
            rows,
            dearer_with_mileage: share(self.dearer_with_mileage),
            dearer_with_age: share(self.dearer_with_age),
        };
        let mut card = measure_card(&self.as_listed, surface);
        if let Some(card) = &mut card {
            for ((name, _), outcomes) in SCENARIOS.iter().zip(&self.scenarios) {
                add_segment(card, "scenario", (*name).to_owned(), &outcomes.iter().collect::<Vec<_>>());
            }
        }
        Ok(card)
    }

    fn evaluate_batch(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.pending);
        let mut as_listed = self.outcomes(&rows, |_| ())?;
        for (row, outcome) in rows.iter().zip(&mut as_listed) {
            let as_of = row.listing.date().unwrap_or(self.today);
            outcome.segments = segments(&canonical_listing(&row.listing), age_on(as_of, row));
        }
        for (index, (_, remove_fields)) in SCENARIOS.iter().enumerate() {
            let outcomes = self.outcomes(&rows, remove_fields)?;
            self.scenarios[index].extend(outcomes);
        }
        let driven = self.outcomes(&rows, |listing| add(listing, Column::Mileage, Surface::MORE_MILEAGE))?;
        let older = self.outcomes(&rows, |listing| add(listing, Column::Year, -1.0))?;
        let dearer = |moved: &[Outcome]| {
            moved.iter().zip(&as_listed).filter(|(moved, listed)| moved.predicted > listed.predicted).count()
        };
        self.dearer_with_mileage += dearer(&driven);
        self.dearer_with_age += dearer(&older);
        self.as_listed.extend(as_listed);
        Ok(())
    }

    /// Values rows after a change, and returns their outcomes without segments.
    fn outcomes(&self, rows: &[PricedListing], change: impl Fn(&mut Listing)) -> Result<Vec<Outcome>, Error> {
        let listings: Vec<Listing> = rows
            .iter()
            .map(|row| {
                let mut listing = row.listing.clone();
                change(&mut listing);
                listing
            })
            .collect();
        let valuations = self.model.value(&listings, self.today, DEFAULT_LEVEL)?;
        let outcomes = rows.iter().zip(valuations).map(|(row, valuation)| Outcome {
            actual: row.price,
            predicted: valuation.price,
            low: valuation.low,
            high: valuation.high,
            segments: Vec::new(),
        });
        Ok(outcomes.collect())
    }
}

fn add(listing: &mut Listing, column: Column, step: f64) {
    if let Some(number) = listing.number(column) {
        listing.set(column, Some(Value::Number(number + step)));
    }
}

/// Calibration rows of listings with known prices.
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
        CalibrationRow { quantiles, price: row.price, age: age_on(valuation.as_of, row) }
    });
    Ok(rows.collect())
}

/// A row of a chunk as a listing.
pub(crate) fn stored_listing(chunk: &ListingChunk, row: usize) -> PricedListing {
    PricedListing { listing: chunk.listing(row), price: chunk.price(row), car_group: None, source: None }
}

fn age_on(day: NaiveDate, row: &PricedListing) -> f64 {
    row.listing.number(Column::Year).map_or(f64::NAN, |year| age(day, year))
}
