//! A model that is ready to value listings.

use std::sync::{Arc, Mutex};

use chrono::NaiveDate;
use domain::calibration::{Calibration, Car, Known};
use domain::feature::FeatureSchema;
use domain::identity::{age, days_since_epoch};
use domain::{Column, Listing, Valuation, Warning};

use crate::encoder::Encoder;
use crate::error::Error;
use crate::file::decode;
use crate::graph::{Graph, Widths};
use crate::pool::{Pool, SessionSource};
use crate::runtime::Runtime;
use crate::signature::{Golden, Signature};
use crate::warning::{Suggestions, UnknownMake, outdated_market};

/// A model file with its encoder and its sessions.
#[derive(Debug)]
pub struct Model {
    signature: Signature,
    encoder: Encoder,
    suggestions: Suggestions,
    /// The sessions for large batches.
    bulk: Pool,
    /// The sessions for small batches, if separate.
    quick: Option<Pool>,
    /// The number of threads for large batches.
    threads: usize,
}

/// The numbers of sessions of a model, each for one thread at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// For large batches; at least one is opened.
    pub bulk: usize,
    /// For small batches, so that they do not wait for large ones; with none, those for large batches are used.
    pub quick: usize,
}

impl Sessions {
    /// Only sessions for large batches.
    #[must_use]
    pub fn bulk(bulk: usize) -> Self {
        Self { bulk, quick: 0 }
    }
}

/// The predictions for some listings.
#[derive(Debug)]
pub struct Predicted<'l> {
    /// The listings, each with the date to value it as of if it has none.
    listings: Vec<(&'l Listing, NaiveDate)>,
    ids: Vec<i64>,
    numbers: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Predicted<'_> {
    /// The number of listings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listings.len()
    }

    /// Whether there are no listings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listings.is_empty()
    }
}

/// The batch size of sessions for large batches: larger ones take more memory and are not faster.
const BULK_ROWS: usize = 256;
/// The batch sizes of sessions for small batches. Runtimes multiply 4 or 12 rows at a time.
const QUICK_ROWS: [usize; 3] = [4, 12, MAX_QUICK_ROWS];
/// The maximum size of a small batch: larger ones are not cheaper per listing and delay the first.
pub const MAX_QUICK_ROWS: usize = 24;

/// The maximum relative difference from the golden prices: runtimes and processors round differently.
const GOLDEN_TOLERANCE: f64 = 1e-3;

/// The default level of intervals.
pub const DEFAULT_LEVEL: f64 = 0.8;

impl Model {
    /// Opens a model file.
    ///
    /// # Errors
    /// The file is not a Probeg model file, or the runtime rejects it.
    pub fn open(runtime: &Runtime, file: &[u8], sessions: Sessions) -> Result<Self, Error> {
        let mut model = Self::prepare(runtime, file, sessions, true)?;
        model.bulk.open_up_to(BULK_ROWS)?;
        if let Some(quick) = &mut model.quick {
            quick.open_up_to(MAX_QUICK_ROWS)?;
        }
        Ok(model)
    }

    /// Opens a model file that [`Model::open`] has opened before in this process, which is several times faster: the runtime is not
    /// tried out first, and only the sessions for the smallest batches are opened before they are needed.
    ///
    /// # Errors
    /// The same as for [`Self::open`].
    pub fn reopen(runtime: &Runtime, file: &[u8], sessions: Sessions) -> Result<Self, Error> {
        let mut model = Self::prepare(runtime, file, sessions, false)?;
        if let Some(quick) = &mut model.quick {
            quick.open_up_to(QUICK_ROWS[0])?;
        }
        Ok(model)
    }

    fn prepare(runtime: &Runtime, file: &[u8], sessions: Sessions, is_new: bool) -> Result<Self, Error> {
        let file = decode(file)?;
        let signature = Signature::of(&file)?;
        let encoder = Encoder::new(&signature.schema)?;
        let widths = widths(&signature);
        let has_quick = sessions.quick > 0;
        // A lookup in computed rows has the smallest table in the smallest session, and the largest one takes the most work.
        let checked = if has_quick { &[BULK_ROWS, QUICK_ROWS[0]][..] } else { &[BULK_ROWS] };
        let mut graph = Graph::new(file, widths, &largest_ids(&signature.schema), checked, runtime.is_native())?;
        if is_new {
            runtime.dry_run(&mut graph, widths, BULK_ROWS)?;
            let quick_rows = if has_quick { &QUICK_ROWS[..] } else { &[] };
            quick_rows.iter().try_for_each(|rows| runtime.dry_run(&mut graph, widths, *rows))?;
        }
        let suggestions = Suggestions::new(&signature.schema);
        let source = Arc::new(SessionSource { runtime: runtime.clone(), widths, graph: Mutex::new(graph) });
        Ok(Self {
            signature,
            encoder,
            suggestions,
            bulk: Pool::new(sessions.bulk, &[BULK_ROWS], Arc::clone(&source)),
            quick: has_quick.then(|| Pool::new(sessions.quick, &QUICK_ROWS, source)),
            threads: 1,
        })
    }

    /// The same model with this calibration.
    #[must_use]
    pub fn calibrated(mut self, calibration: Calibration) -> Self {
        self.signature.calibration = calibration;
        self
    }

    /// The same model with this many threads for large batches, limited by its sessions.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// The number of threads for large batches.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The metadata of the file.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Values listings in order, each as of its own date or else `today`, with intervals of a calibrated level. Blocks while it
    /// computes or all sessions are in use.
    ///
    /// # Errors
    /// The level is not one of [`Calibration::levels`], or the runtime fails.
    pub fn value(&self, listings: &[Listing], today: NaiveDate, level: f64) -> Result<Vec<Valuation>, Error> {
        self.value_observed(listings, today, level, |_| {})
    }

    /// The same, but calls `observe` with the predictions of each batch, on the thread that made them.
    ///
    /// # Errors
    /// The same as for [`Self::value`].
    pub fn value_observed(
        &self,
        listings: &[Listing],
        today: NaiveDate,
        level: f64,
        observe: impl Fn(&Predicted<'_>) + Sync,
    ) -> Result<Vec<Valuation>, Error> {
        let batches: Vec<&[Listing]> = listings.chunks(BULK_ROWS).collect();
        let share = batches.len().div_ceil(self.threads).max(1);
        let value = |batches: &[&[Listing]]| -> Result<Vec<Valuation>, Error> {
            let mut valuations = Vec::with_capacity(batches.len() * BULK_ROWS);
            for batch in batches {
                let listings = batch.iter().map(|listing| (listing, today)).collect();
                let predicted = self.predict_in(&self.bulk, listings)?;
                observe(&predicted);
                for (row, listing) in batch.iter().enumerate() {
                    let valuation = self.valuation(&predicted, row, level)?;
                    let warnings = self.warnings_of(listing, self.ids(&predicted, row), valuation.as_of);
                    valuations.push(Valuation { warnings, ..valuation });
                }
            }
            Ok(valuations)
        };
        if batches.len() <= share {
            return value(&batches);
        }
        let parts: Vec<Result<Vec<Valuation>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = batches.chunks(share).map(|batches| scope.spawn(|| value(batches))).collect();
            let stopped = |_| Err(Error::graph("an inference thread panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(stopped)).collect()
        });
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Runs the graph on a small batch of listings, each with the date to value it as of if it has none. Blocks like
    /// [`Self::value`].
    ///
    /// # Errors
    /// The runtime fails.
    pub fn predict<'l>(&self, listings: Vec<(&'l Listing, NaiveDate)>) -> Result<Predicted<'l>, Error> {
        self.predict_in(self.quick.as_ref().unwrap_or(&self.bulk), listings)
    }

    fn predict_in<'l>(&self, pool: &Pool, listings: Vec<(&'l Listing, NaiveDate)>) -> Result<Predicted<'l>, Error> {
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        for (listing, today) in &listings {
            let dated = (*listing).clone().with_default_date(*today);
            self.encoder.encode(&dated, &mut ids, &mut numbers);
        }
        let quantiles = pool.run_batch(listings.len(), &ids, &numbers)?;
        Ok(Predicted { listings, ids, numbers, quantiles })
    }

    /// A warning for each unknown value of a listing, with the nearest known value, and one if the day of the price is long after
    /// the newest listing.
    #[must_use]
    pub fn warnings(&self, listing: &Listing, as_of: NaiveDate) -> Vec<Warning> {
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        self.encoder.encode(listing, &mut ids, &mut numbers);
        self.warnings_of(listing, &ids, as_of)
    }

    fn warnings_of(&self, listing: &Listing, ids: &[i64], as_of: NaiveDate) -> Vec<Warning> {
        let mut warnings = self.suggestions.unknown_values(&self.signature.schema, &self.encoder, listing, ids);
        warnings.extend(self.signature.run.market_as_of.and_then(|newest| outdated_market(newest, as_of)));
        warnings
    }

    /// The stated text columns of a listing that the model does not know the values of; it values the listing without them.
    #[must_use]
    pub fn unknown_columns(&self, listing: &Listing) -> Vec<Column> {
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        self.encoder.encode(listing, &mut ids, &mut numbers);
        let ids = self.encoder.categorical_columns().zip(ids).filter(|(_, id)| *id == 0);
        let columns = ids.filter_map(|(columns, _)| columns.last().copied());
        columns.filter(|column| listing.get(*column).is_some()).collect()
    }

    /// The make of a listing, if it is stated but unknown; a missing make is not. Takes little time if the make is known.
    #[must_use]
    pub fn unknown_make(&self, listing: &Listing) -> Option<UnknownMake> {
        self.suggestions.unknown_make(&self.signature.schema, &self.encoder, listing)
    }

    /// The ids and numbers of the predicted listing with this index; `None` if the listing does not have the last column of the
    /// category, or the number.
    ///
    /// # Panics
    /// If the index is out of bounds.
    pub fn present_inputs<'p>(
        &'p self,
        predicted: &'p Predicted<'_>,
        row: usize,
    ) -> (impl Iterator<Item = Option<i64>> + 'p, impl Iterator<Item = Option<f32>> + 'p) {
        let (listing, _) = predicted.listings[row];
        let is_present = |column: Option<&Column>| column.is_some_and(|column| listing.get(*column).is_some());
        let ids = self.encoder.categorical_columns().zip(self.ids(predicted, row));
        let ids = ids.map(move |(columns, id)| is_present(columns.last()).then_some(*id));
        let width = self.encoder.numeric_width();
        let numbers = self.encoder.numeric_columns().iter().zip(&predicted.numbers[row * width..]);
        let numbers = numbers.map(move |(column, number)| is_present(Some(column)).then_some(*number));
        (ids, numbers)
    }

    /// Verifies the model before it is served: the golden rows must give their recorded prices, and the first and last id of
    /// every category must give ascending prices, with and without numbers.
    ///
    /// # Errors
    /// The file has no golden rows, [`Error::PricesChanged`], [`Error::InvalidPrices`], or the runtime fails.
    pub fn verify(&self) -> Result<(), Error> {
        let Some(Golden { categorical, numeric, price_quantiles }) = &self.signature.golden else {
            let reason = "it is missing, so the file cannot be verified".to_owned();
            return Err(Error::Metadata { key: "probeg.golden", reason });
        };
        let golden: Vec<f32> = numeric.iter().map(|number| number.unwrap_or(f32::NAN)).collect();
        let actual = self.run_graph(categorical, &golden)?;
        let difference = largest_difference(&actual, price_quantiles);
        if difference > GOLDEN_TOLERANCE {
            return Err(Error::PricesChanged { difference });
        }
        let ids = self.first_and_last_ids();
        let rows = ids.len() / self.encoder.categorical_width();
        let missing = vec![f32::NAN; self.encoder.numeric_width()];
        for numbers in [&missing, &golden[..missing.len()]] {
            let prices = self.run_graph(&ids, &numbers.repeat(rows))?;
            prices.chunks(self.signature.quantiles.len()).try_for_each(check_prices)?;
        }
        // With implausible numbers any price is accepted, but the graph must not fail.
        for number in [-1e9, 0.0, 1e9] {
            self.run_graph(&ids, &vec![number; rows * missing.len()])?;
        }
        Ok(())
    }

    /// Rows of ids: all unknown; the last id of one category and all others unknown; and the last id of all categories.
    fn first_and_last_ids(&self) -> Vec<i64> {
        let last = largest_ids(&self.signature.schema).into_iter();
        let last: Vec<i64> = last.map(|id| i64::try_from(id).unwrap_or(i64::MAX)).collect();
        let mut ids = vec![0; last.len()];
        for (index, id) in last.iter().enumerate() {
            let mut row = vec![0; last.len()];
            row[index] = *id;
            ids.extend(row);
        }
        ids.extend(last);
        ids
    }

    /// The encoder of listings.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Runs the graph on encoded inputs: ids `[N, C]` and numbers `[N, F]` give quantiles `[N, Q]`, all in row-major order.
    /// Small batches use the sessions for small batches, if any. Blocks while it computes or all sessions are in use.
    ///
    /// # Errors
    /// The lengths do not match, or the runtime fails.
    pub fn run_graph(&self, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let rows = ids.len() / self.encoder.categorical_width();
        let pool = self.quick.as_ref().filter(|_| rows <= MAX_QUICK_ROWS).unwrap_or(&self.bulk);
        pool.run_batch(rows, ids, numbers)
    }

    /// The valuation of the predicted listing with this index, with an interval of a calibrated level. It has no warnings: see
    /// [`Self::warnings`], which may take longer than the rest.
    ///
    /// # Errors
    /// The level is not one of [`Calibration::levels`], or the prices are invalid.
    ///
    /// # Panics
    /// If the index is out of bounds.
    pub fn valuation(&self, predicted: &Predicted<'_>, row: usize, level: f64) -> Result<Valuation, Error> {
        let (listing, today) = predicted.listings[row];
        let quantiles = self.quantiles(predicted, row);
        let as_of = listing.date().unwrap_or(today);
        check_prices(quantiles)?;
        let car = self.calibration_car(predicted, row);
        let calibration = &self.signature.calibration;
        let (low, high) = calibration.interval(level, quantiles, &car).ok_or_else(|| Error::Metadata {
            key: "probeg.calibration",
            reason: format!("it has no intervals of level {level}, only of {:?}", calibration.levels()),
        })?;
        Ok(Valuation {
            price: f64::from(quantiles[quantiles.len() / 2]),
            low,
            high,
            level,
            quantiles: quantiles.iter().map(|price| f64::from(*price)).collect(),
            as_of,
            market_as_of: self.signature.run.market_as_of,
            warnings: Vec::new(),
        })
    }

    /// The uncalibrated quantiles of the predicted listing with this index.
    ///
    /// # Panics
    /// If the index is out of bounds.
    #[must_use]
    pub fn quantiles<'p>(&self, predicted: &'p Predicted<'_>, row: usize) -> &'p [f32] {
        let width = self.signature.quantiles.len();
        &predicted.quantiles[row * width..(row + 1) * width]
    }

    /// What the intervals of the predicted listing with this index depend on.
    ///
    /// # Panics
    /// If the index is out of bounds.
    #[must_use]
    pub fn calibration_car(&self, predicted: &Predicted<'_>, row: usize) -> Car {
        let (listing, today) = predicted.listings[row];
        let day = listing.date().unwrap_or(today);
        Car {
            age: listing.number(Column::Year).map_or(f64::NAN, |year| age(day, year)),
            day: days_since_epoch(day),
            known: self.known(predicted, row),
        }
    }

    fn known(&self, predicted: &Predicted<'_>, row: usize) -> Known {
        let known = || {
            let ids = self.encoder.categorical_columns().zip(self.ids(predicted, row));
            ids.filter(|(_, id)| **id != 0).map(|(columns, _)| columns)
        };
        if !known().any(|columns| columns == [Column::Brand]) {
            return Known::NoMake;
        }
        if !known().any(|columns| columns == [Column::Brand, Column::Model]) {
            return Known::Make;
        }
        let width = self.encoder.numeric_width();
        let numbers = self.encoder.numeric_columns().iter().zip(&predicted.numbers[row * width..]);
        let numbers = numbers.filter(|(column, number)| **column != Column::ListingDate && !number.is_nan());
        Known::Fields(u32::try_from(known().count() + numbers.count()).unwrap_or(u32::MAX))
    }

    fn ids<'p>(&self, predicted: &'p Predicted<'_>, row: usize) -> &'p [i64] {
        let width = self.encoder.categorical_width();
        &predicted.ids[row * width..(row + 1) * width]
    }
}

/// The largest relative difference from the expected prices; infinite if one of a pair is NaN.
#[must_use]
pub fn largest_difference(actual: &[f32], expected: &[f32]) -> f64 {
    let differences = actual.iter().zip(expected).map(|(actual, expected)| {
        let difference = f64::from((actual - expected).abs()) / f64::from(expected.abs());
        // `f64::max` would ignore NaN.
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    differences.fold(0.0, f64::max)
}

/// The maximum relative decrease between adjacent quantiles, due to rounding.
const ROUNDING_TOLERANCE: f32 = 1e-5;

/// Checks that price quantiles are finite, nonnegative and ascending.
pub(crate) fn check_prices(quantiles: &[f32]) -> Result<(), Error> {
    let are_prices = quantiles.iter().all(|price| price.is_finite() && *price >= 0.0);
    if are_prices && quantiles.windows(2).all(|pair| pair[1] >= pair[0] * (1.0 - ROUNDING_TOLERANCE)) {
        Ok(())
    } else {
        Err(Error::InvalidPrices(quantiles.to_vec()))
    }
}

fn widths(signature: &Signature) -> Widths {
    let schema = &signature.schema;
    Widths {
        categorical: schema.categorical.len(),
        numeric: schema.numeric.len(),
        quantiles: signature.quantiles.len(),
    }
}

/// The largest id of each category, in input order.
pub(crate) fn largest_ids(schema: &FeatureSchema) -> Vec<usize> {
    schema.categorical.iter().map(|feature| feature.values.len()).collect()
}
