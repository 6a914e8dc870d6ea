//! The accuracy card of a model, on a split of the database or on a labelled file.

use chrono::{Days, NaiveDate, TimeDelta};
use domain::accuracy::{Accuracy, AccuracyCard, FormAccuracy, Stability, Surface};
use domain::calibration::{Calibration, CalibrationRow, SNAPSHOT_DAYS};
use domain::form::{SHORT_FORMS, shorten};
use domain::identity::{DAYS_PER_YEAR, Split, age, canonical_listing, days_since_epoch};
use domain::vocabulary::write_key;
use domain::{Column, Listing, Value};
use onnx_model::model::DEFAULT_LEVEL;
use onnx_model::{Model, Runtime, Sessions, Signature};
use rustc_hash::FxHashMap;
use storage::ListingChunk;
use tables::{Options, Source, Table};

use crate::Error;
use crate::accuracy::{
    MIN_SEGMENT_ROWS, Outcome, add_segment, average, measure_accuracy, measure_card, median, segments,
};
use crate::export::model_file;
use crate::level::{LaterOutcome, Trend};
use crate::model::TabularRegressor;
use crate::stream::{ListingStream, is_maskable};

/// An accuracy card and the number of rejected rows.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The accuracy card.
    pub card: AccuracyCard,
    /// The number of rejected rows.
    pub rejected: u64,
}

/// A listing with what the model predicts.
#[derive(Clone, Debug)]
pub(crate) struct LabelledListing {
    pub(crate) listing: Listing,
    pub(crate) target: f64,
}

/// The maximum number of listings of a split to evaluate, so that memory does not grow with the table; more would hardly
/// change the metrics.
pub(crate) const MAX_ROWS: usize = 20_000;
/// The number of rows to value together.
const BATCH_ROWS: usize = 1024;

/// Evaluates a model on a table with its target, which is read as in its market.
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
    let target = model.signature().task.target;
    let mut table = Table::open(
        source,
        Options { target: Some(target), market: model.signature().task.market.clone(), ..options },
    )?;
    let header = table.header().clone();
    let mut measurement = Measurement::new(model, today);
    let mut rejected = 0;
    for row in table.rows()? {
        match row?.labelled(&header, target, today) {
            Ok((listing, target)) => measurement.add(LabelledListing { listing, target })?,
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
    pending: Vec<LabelledListing>,
    as_listed: Vec<Outcome>,
    /// The date of each of these outcomes.
    dates: Vec<Option<NaiveDate>>,
    forms: [Vec<Outcome>; SHORT_FORMS.len()],
    scenarios: [Vec<Outcome>; SCENARIOS.len()],
    dearer_with_mileage: usize,
    dearer_with_age: usize,
    /// A network with another seed, and the relative difference of its price of each row.
    other_seed: Option<(&'a Model, Vec<f64>)>,
}

/// The relative difference up to which prices count as equal; see [`Stability`].
const EQUAL: f64 = 0.03;

/// The scenarios with missing fields, by their names in the segment family `scenario`.
const SCENARIOS: [Scenario; 3] =
    [("required fields only", keep_required_fields), ("unknown model", remove_model), ("unknown make", remove_make)];
type Scenario = (&'static str, fn(&mut Listing));

/// Keeps the date, since the asking price is as of that day.
fn keep_required_fields(listing: &mut Listing) {
    let is_required = |column: &Column| *column == Column::Brand || !is_maskable(*column);
    for column in Column::descriptive().iter().filter(|column| !is_required(column)) {
        listing.set(*column, None);
    }
}

fn remove_make(listing: &mut Listing) {
    remove_model(listing);
    listing.set(Column::Brand, None);
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
            dates: Vec::new(),
            forms: Default::default(),
            scenarios: Default::default(),
            dearer_with_mileage: 0,
            dearer_with_age: 0,
            other_seed: None,
        }
    }

    /// The same, but also compares the prices with those of a network with another seed.
    pub(crate) fn compared_with(self, other_seed: Option<&'a Model>) -> Self {
        Self { other_seed: other_seed.map(|model| (model, Vec::new())), ..self }
    }

    pub(crate) fn add(&mut self, row: LabelledListing) -> Result<(), Error> {
        self.pending.push(row);
        if self.pending.len() == BATCH_ROWS { self.evaluate_batch() } else { Ok(()) }
    }

    /// Adds the listings of a chunk; false once there are [`MAX_ROWS`].
    pub(crate) fn add_chunk(&mut self, chunk: &ListingChunk) -> Result<bool, Error> {
        (0..chunk.len()).try_for_each(|row| self.add(stored_listing(chunk, row)))?;
        Ok(self.as_listed.len() + self.pending.len() < MAX_ROWS)
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
            card.forms = self.form_accuracies();
            card.stability = self.other_seed.map(|(_, differences)| Stability {
                within_3: average(differences.iter().map(|difference| f64::from(u8::from(*difference <= EQUAL)))),
                median_difference: median(differences.into_iter()),
            });
        }
        Ok(card)
    }

    /// The accuracy of each form, with that of all fields last.
    fn form_accuracies(&self) -> Vec<FormAccuracy> {
        let oldest = self.dates.iter().max().and_then(|newest| newest.map(|newest| newest - Days::new(SNAPSHOT_DAYS)));
        let is_newest = |row: &usize| oldest.is_some() && self.dates[*row] > oldest;
        let newest_rows: Vec<usize> = (0..self.dates.len()).filter(is_newest).collect();
        let forms = SHORT_FORMS.map(Some).into_iter().zip(&self.forms).chain([(None, &self.as_listed)]);
        let accuracy = |(fields, outcomes): (Option<usize>, &Vec<Outcome>)| {
            let newest: Vec<&Outcome> = newest_rows.iter().map(|row| &outcomes[*row]).collect();
            let share = |holds: &dyn Fn(&Outcome, f64) -> bool| {
                let pairs = outcomes.iter().zip(&self.as_listed);
                average(pairs.map(|(form, full)| f64::from(u8::from(holds(form, full.predicted)))))
            };
            Some(FormAccuracy {
                fields,
                accuracy: measure_accuracy(&outcomes.iter().collect::<Vec<_>>())?,
                newest: (newest.len() >= MIN_SEGMENT_ROWS).then(|| measure_accuracy(&newest)).flatten(),
                full_price_in_interval: share(&|form, full| (form.low..=form.high).contains(&full)),
                moved_by_a_quarter: share(&|form, full| (full / form.predicted - 1.0).abs() > 0.25),
            })
        };
        forms.filter_map(accuracy).collect()
    }

    fn evaluate_batch(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.pending);
        let mut as_listed = self.outcomes(&rows, |_| ())?;
        for (row, outcome) in rows.iter().zip(&mut as_listed) {
            let date = row.listing.date();
            let age = age_on(date.unwrap_or(self.today), row);
            outcome.segments = segments(&canonical_listing(&row.listing, &self.model.signature().task.market), age);
            self.dates.push(date);
        }
        for (index, fields) in SHORT_FORMS.into_iter().enumerate() {
            let outcomes = self.outcomes(&rows, |listing| shorten(listing, fields))?;
            self.forms[index].extend(outcomes);
        }
        for (index, (_, remove_fields)) in SCENARIOS.iter().enumerate() {
            let outcomes = self.outcomes(&rows, remove_fields)?;
            self.scenarios[index].extend(outcomes);
        }
        let driven = self.outcomes(&rows, |listing| add(listing, Column::Mileage, Surface::ADDED_MILEAGE))?;
        let older = self.outcomes(&rows, |listing| add(listing, Column::Year, -1.0))?;
        let dearer = |moved: &[Outcome]| {
            moved.iter().zip(&as_listed).filter(|(moved, listed)| moved.predicted > listed.predicted).count()
        };
        self.dearer_with_mileage += dearer(&driven);
        self.dearer_with_age += dearer(&older);
        if let Some((model, differences)) = &mut self.other_seed {
            let others = outcomes(model, self.today, &rows, |_| ())?;
            let pairs = others.iter().zip(&as_listed);
            differences.extend(pairs.map(|(other, own)| (other.predicted / own.predicted - 1.0).abs()));
        }
        self.as_listed.extend(as_listed);
        Ok(())
    }
    fn outcomes(&self, rows: &[LabelledListing], change: impl Fn(&mut Listing)) -> Result<Vec<Outcome>, Error> {
        outcomes(self.model, self.today, rows, change)
    }
}

/// Values rows after a change, and returns their outcomes without segments.
fn outcomes(
    model: &Model,
    today: NaiveDate,
    rows: &[LabelledListing],
    change: impl Fn(&mut Listing),
) -> Result<Vec<Outcome>, Error> {
    let listings: Vec<Listing> = rows.iter().map(|row| changed(&row.listing, &change)).collect();
    let valuations = model.value(&listings, today, DEFAULT_LEVEL)?;
    let outcomes = rows.iter().zip(valuations).map(|(row, valuation)| Outcome {
        actual: row.target,
        predicted: valuation.price,
        low: valuation.low,
        high: valuation.high,
        segments: Vec::new(),
    });
    Ok(outcomes.collect())
}

/// The outcomes of the listings of a chunk.
pub(crate) fn listed_outcomes(model: &Model, today: NaiveDate, chunk: &ListingChunk) -> Result<Vec<Outcome>, Error> {
    let rows: Vec<LabelledListing> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
    outcomes(model, today, &rows, |_| ())
}

/// The outcomes of the dated listings of a chunk that were listed after the newest listing of the model.
pub(crate) fn later_outcomes(
    model: &Model,
    market_as_of: NaiveDate,
    chunk: &ListingChunk,
) -> Result<Vec<LaterOutcome>, Error> {
    let rows: Vec<LabelledListing> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
    let outcomes = outcomes(model, market_as_of, &rows, |_| ())?;
    let later = rows.iter().zip(outcomes).filter_map(|(row, outcome)| {
        let years = (days_since_epoch(row.listing.date()?) - days_since_epoch(market_as_of)) / DAYS_PER_YEAR;
        Some(LaterOutcome { years, outcome })
    });
    Ok(later.collect())
}

/// The trend of the prices that a model gives the same cars at the same age on days between the first and the last.
pub(crate) fn trend(model: &Model, cars: &[Listing], [first, last]: [NaiveDate; 2]) -> Result<Trend, Error> {
    let span = last.signed_duration_since(first);
    if cars.is_empty() || span < TimeDelta::days(365) {
        return Ok(Trend::default());
    }
    let log_level = |day: NaiveDate| -> Result<f64, Error> {
        let aged: Vec<Listing> = cars.iter().map(|car| changed(car, |car| move_to(car, last, day))).collect();
        let valuations = model.value(&aged, day, DEFAULT_LEVEL)?;
        Ok(average(valuations.iter().map(|valuation| valuation.price.ln())))
    };
    let newest = log_level(last)?;
    let rate = |since: NaiveDate| -> Result<f64, Error> {
        let years = (days_since_epoch(last) - days_since_epoch(since)) / DAYS_PER_YEAR;
        Ok((newest - log_level(since)?) / years)
    };
    Ok(Trend { recent: rate(last - TimeDelta::days(365))?, overall: rate(first)? })
}

/// Moves a car to a day, at the age that it had on its own day or else on another one.
fn move_to(car: &mut Listing, otherwise: NaiveDate, day: NaiveDate) {
    let own = car.date().unwrap_or(otherwise);
    add(car, Column::Year, (days_since_epoch(day) - days_since_epoch(own)) / DAYS_PER_YEAR);
    car.set(Column::ListingDate, Some(Value::Date(day)));
}

fn add(listing: &mut Listing, column: Column, step: f64) {
    if let Some(number) = listing.number(column) {
        listing.set(column, Some(Value::Number(number + step)));
    }
}

/// Collects calibration rows from listings with known prices, each in every form that people and sources give.
pub(crate) struct CalibrationSample<'a> {
    model: &'a Model,
    today: NaiveDate,
    rows: Vec<CalibrationRow>,
    listings: usize,
    /// The numbers of rows as of an unknown make or model, by the actual one.
    unseen: FxHashMap<String, usize>,
}

/// The maximum number of calibration rows as of an unknown make or model for each actual one. An unseen make may be any make,
/// so they count about equally, however many listings they have.
const MAX_ROWS_PER_UNSEEN_KEY: usize = 10;

/// The columns of a key that was never seen, and how to remove it.
const UNSEEN: [Unseen; 2] = [(&[Column::Brand], remove_make), (&[Column::Brand, Column::Model], remove_model)];
type Unseen = (&'static [Column], fn(&mut Listing));

impl<'a> CalibrationSample<'a> {
    pub(crate) fn new(model: &'a Model, today: NaiveDate) -> Self {
        Self { model, today, rows: Vec::new(), listings: 0, unseen: FxHashMap::default() }
    }

    /// Adds the listings of a chunk; false once there are [`MAX_ROWS`].
    pub(crate) fn add_chunk(&mut self, chunk: &ListingChunk) -> Result<bool, Error> {
        let listings: Vec<LabelledListing> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
        for rows in listings.chunks(BATCH_ROWS) {
            self.add(rows, |_| ())?;
            for fields in SHORT_FORMS {
                self.add(rows, |listing| shorten(listing, fields))?;
            }
            for (columns, remove) in UNSEEN {
                let mut key = String::new();
                let mut is_wanted = |listing: &Listing| {
                    write_key(&mut key, columns.iter().map(|column| listing.text(*column))) && {
                        let count = self.unseen.entry(key.clone()).or_default();
                        *count += 1;
                        *count <= MAX_ROWS_PER_UNSEEN_KEY
                    }
                };
                let wanted: Vec<LabelledListing> = rows.iter().filter(|row| is_wanted(&row.listing)).cloned().collect();
                self.add(&wanted, remove)?;
            }
            self.listings += rows.len();
        }
        Ok(self.listings < MAX_ROWS)
    }

    fn add(&mut self, rows: &[LabelledListing], change: impl Fn(&mut Listing)) -> Result<(), Error> {
        let changed: Vec<Listing> = rows.iter().map(|row| changed(&row.listing, &change)).collect();
        let predicted = self.model.predict(changed.iter().map(|listing| (listing, self.today)).collect())?;
        self.rows.extend(rows.iter().enumerate().map(|(index, row)| CalibrationRow {
            quantiles: self.model.quantiles(&predicted, index).to_vec(),
            price: row.target,
            car: self.model.calibration_car(&predicted, index),
        }));
        Ok(())
    }

    pub(crate) fn into_rows(self) -> Vec<CalibrationRow> {
        self.rows
    }
}

fn changed(listing: &Listing, change: impl Fn(&mut Listing)) -> Listing {
    let mut listing = listing.clone();
    change(&mut listing);
    listing
}

/// A row of a chunk as a listing.
pub(crate) fn stored_listing(chunk: &ListingChunk, row: usize) -> LabelledListing {
    LabelledListing { listing: chunk.listing(row), target: chunk.target(row) }
}

fn age_on(day: NaiveDate, row: &LabelledListing) -> f64 {
    row.listing.number(Column::Year).map_or(f64::NAN, |year| age(day, year))
}
/// Exports a regressor and calibrates its intervals on the validation split.
pub(crate) fn calibrated_model(
    regressor: &TabularRegressor,
    signature: &Signature,
    (runtime, today): (&Runtime, NaiveDate),
    stream: &mut ListingStream<'_>,
) -> Result<Model, Error> {
    let model = Model::open(runtime, &model_file(regressor, signature)?, Sessions::bulk(1))?;
    let mut sample = CalibrationSample::new(&model, today);
    stream.scan(Split::Validation, |chunk| sample.add_chunk(chunk))?;
    let calibration = Calibration::fit(&signature.quantiles, &sample.into_rows());
    Ok(model.calibrated(calibration))
}

/// The accuracy of a model on the test split.
pub(crate) fn accuracy_on_test(
    model: &Model,
    today: NaiveDate,
    stream: &mut ListingStream<'_>,
) -> Result<Accuracy, Error> {
    let mut outcomes = Vec::new();
    stream.scan(Split::Test, |chunk| {
        outcomes.extend(listed_outcomes(model, today, chunk)?);
        Ok(outcomes.len() < MAX_ROWS)
    })?;
    let rows: Vec<&Outcome> = outcomes.iter().collect();
    measure_accuracy(&rows).ok_or_else(|| unreachable!("a run needs test listings"))
}
