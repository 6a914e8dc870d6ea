//! A model that is ready to value listings.

use chrono::NaiveDate;
use domain::calibration::Calibration;
use domain::{Column, Listing, Valuation, Warning};

use crate::encoder::Encoder;
use crate::error::Error;
use crate::file::decode;
use crate::graph::{Graph, Widths};
use crate::pool::Pool;
use crate::runtime::{Runtime, Session};
use crate::signature::{Golden, Signature};
use crate::warning::Suggestions;

/// A model file with its encoder and its sessions.
#[derive(Debug)]
pub struct Model {
    signature: Signature,
    encoder: Encoder,
    suggestions: Suggestions,
    /// For many listings at a time.
    bulk: Pool,
    /// For a few listings at a time; without it, those of many are used.
    quick: Option<Pool>,
    /// Threads that value many listings at once.
    threads: usize,
}

/// How many sessions a model has, each for one thread at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// For many listings at a time; at least one is opened.
    pub bulk: usize,
    /// For a few listings at a time, so that they need not wait for many; with none, those for many are used.
    pub quick: usize,
}

impl Sessions {
    /// Sessions for many listings at a time only.
    #[must_use]
    pub fn bulk(bulk: usize) -> Self {
        Self { bulk, quick: 0 }
    }
}

/// The predictions for some listings.
#[derive(Debug)]
pub struct Predicted<'l> {
    /// Each with the day to value it for, unless it has a date of its own.
    listings: Vec<(&'l Listing, NaiveDate)>,
    ids: Vec<i64>,
    numbers: Vec<f32>,
    quantiles: Vec<f32>,
}

impl Predicted<'_> {
    /// How many listings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listings.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listings.is_empty()
    }
}

/// Rows that sessions for many listings are made for: larger batches cost memory and gain nothing.
const BATCH: usize = 256;
/// Rows that sessions for a few listings are made for. Runtimes multiply 4 or 12 rows at a time.
const QUICK_ROWS: [usize; 4] = [4, 12, 16, FEW];
/// The most that count as a few listings: larger batches cost as much per listing and delay the first.
pub const FEW: usize = 24;

/// Largest relative difference to the prices that came with a file: runtimes and processors round differently.
const GOLDEN_TOLERANCE: f64 = 1e-3;

/// The level of the interval where the caller names none.
pub const DEFAULT_LEVEL: f64 = 0.8;

impl Model {
    /// Opens a model file.
    ///
    /// # Errors
    /// When the file is not a model file of Probeg or the runtime refuses it.
    pub fn open(runtime: &Runtime, file: &[u8], sessions: Sessions) -> Result<Self, Error> {
        let file = decode(file)?;
        let signature = Signature::of(&file)?;
        let encoder = Encoder::new(&signature.schema)?;
        let widths = widths(&signature);
        let has_quick = sessions.quick > 0;
        // A table made of the rows themselves is shortest in the smallest session, and the work is most in the largest.
        let checked = if has_quick { &[BATCH, QUICK_ROWS[0]][..] } else { &[BATCH] };
        let mut graph = Graph::new(file, widths, &largest_ids(&signature), checked)?;
        let bulk = open_pool(runtime, &mut graph, widths, sessions.bulk, &[BATCH])?;
        let quick = has_quick.then(|| open_pool(runtime, &mut graph, widths, sessions.quick, &QUICK_ROWS));
        let suggestions = Suggestions::new(&signature.schema);
        Ok(Self { signature, encoder, suggestions, bulk, quick: quick.transpose()?, threads: 1 })
    }

    /// The same model with other intervals.
    #[must_use]
    pub fn calibrated(mut self, calibration: Calibration) -> Self {
        self.signature.calibration = calibration;
        self
    }

    /// The same model, with this many threads to value many listings, as far as it has sessions for them.
    #[must_use]
    pub fn in_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// How many threads value many listings at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The metadata of the file.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Values listings, in order, each for its own date or else for `today`, with intervals of one
    /// of the trained levels. Blocks while it computes, and while every session is in use.
    ///
    /// # Errors
    /// When the level is not one of [`Calibration::levels`] or the runtime fails.
    pub fn value(&self, listings: &[Listing], today: NaiveDate, level: f64) -> Result<Vec<Valuation>, Error> {
        self.value_observed(listings, today, level, |_| {})
    }

    /// The same, but calls `observe` with the predictions of each batch, on the thread that made them.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn value_observed(
        &self,
        listings: &[Listing],
        today: NaiveDate,
        level: f64,
        observe: impl Fn(&Predicted<'_>) + Sync,
    ) -> Result<Vec<Valuation>, Error> {
        let batches: Vec<&[Listing]> = listings.chunks(BATCH).collect();
        let share = batches.len().div_ceil(self.threads).max(1);
        let value = |batches: &[&[Listing]]| -> Result<Vec<Valuation>, Error> {
            let mut valuations = Vec::with_capacity(batches.len() * BATCH);
            for batch in batches {
                let listings = batch.iter().map(|listing| (listing, today)).collect();
                let predicted = self.predict_in(&self.bulk, listings)?;
                observe(&predicted);
                for (row, listing) in batch.iter().enumerate() {
                    let warnings = self.unknown_values(listing, self.ids(&predicted, row));
                    valuations.push(Valuation { warnings, ..self.valuation(&predicted, row, level)? });
                }
            }
            Ok(valuations)
        };
        if batches.len() <= share {
            return value(&batches);
        }
        let parts: Vec<Result<Vec<Valuation>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = batches.chunks(share).map(|batches| scope.spawn(|| value(batches))).collect();
            let stopped = |_| Err(Error::graph("a thread that runs it stopped"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(stopped)).collect()
        });
        let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Runs the graph on a few listings, each with the day that it is valued for where it has none of its own. Blocks as
    /// [`Self::value`].
    ///
    /// # Errors
    /// When the runtime fails.
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

    /// A warning for each value of a listing that the model does not know, with the nearest known value.
    #[must_use]
    pub fn warnings(&self, listing: &Listing) -> Vec<Warning> {
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        self.encoder.encode(listing, &mut ids, &mut numbers);
        self.unknown_values(listing, &ids)
    }

    fn unknown_values(&self, listing: &Listing, ids: &[i64]) -> Vec<Warning> {
        self.suggestions.unknown_values(&self.signature.schema, &self.encoder, listing, ids)
    }

    /// The ids and the numbers of a predicted listing, by its position from 0; `None` where the listing does not name the
    /// last column of a category, or the number.
    ///
    /// # Panics
    /// If there is no such listing.
    pub fn given_inputs<'p>(
        &'p self,
        predicted: &'p Predicted<'_>,
        row: usize,
    ) -> (impl Iterator<Item = Option<i64>> + 'p, impl Iterator<Item = Option<f32>> + 'p) {
        let (listing, _) = predicted.listings[row];
        let is_given = |column: Option<&Column>| column.is_some_and(|column| listing.get(*column).is_some());
        let ids = self.encoder.categorical_columns().zip(self.ids(predicted, row));
        let ids = ids.map(move |(columns, id)| is_given(columns.last()).then_some(*id));
        let width = self.encoder.numeric_width();
        let numbers = self.encoder.numeric_columns().iter().zip(&predicted.numbers[row * width..]);
        let numbers = numbers.map(move |(column, number)| is_given(Some(column)).then_some(*number));
        (ids, numbers)
    }

    /// Verifies that the model can serve: the golden rows of the file must give their recorded prices, and the first and
    /// last id of every category must give rising prices, with and without known numbers.
    ///
    /// # Errors
    /// The file has no such rows, [`Error::Changed`], [`Error::Nonsense`], or the runtime fails.
    pub fn prove(&self) -> Result<(), Error> {
        let Some(Golden { categorical, numeric, price_quantiles }) = &self.signature.golden else {
            let reason = "it is missing, so the file cannot be verified".to_owned();
            return Err(Error::Metadata { key: "probeg.golden", reason });
        };
        let golden: Vec<f32> = numeric.iter().map(|number| number.unwrap_or(f32::NAN)).collect();
        let given = self.run_graph(categorical, &golden)?;
        let difference = largest_difference(&given, price_quantiles);
        if difference > GOLDEN_TOLERANCE {
            return Err(Error::Changed { difference });
        }
        let ids = self.first_and_last_ids();
        let rows = ids.len() / self.encoder.categorical_width();
        let missing = vec![f32::NAN; self.encoder.numeric_width()];
        for numbers in [&missing, &golden[..missing.len()]] {
            let prices = self.run_graph(&ids, &numbers.repeat(rows))?;
            prices.chunks(self.signature.quantiles.len()).try_for_each(check_prices)?;
        }
        // Far beyond any car: the prices need not make sense, but the graph must not fail.
        for number in [-1e9, 0.0, 1e9] {
            self.run_graph(&ids, &vec![number; rows * missing.len()])?;
        }
        Ok(())
    }

    /// Rows of ids: all unknown, the last of each category with all others unknown, and the last of all.
    fn first_and_last_ids(&self) -> Vec<i64> {
        let last = largest_ids(&self.signature).into_iter();
        let last: Vec<i64> = last.map(|id| i64::try_from(id).unwrap_or(i64::MAX)).collect();
        let mut ids = vec![0; last.len()];
        for (place, id) in last.iter().enumerate() {
            let mut row = vec![0; last.len()];
            row[place] = *id;
            ids.extend(row);
        }
        ids.extend(last);
        ids
    }

    /// The encoder that turns a listing into inputs.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Runs the graph on inputs that are encoded already: ids `[N, C]` and numbers `[N, F]`, row by
    /// row, to quantiles `[N, Q]`. A few rows go to the sessions made for them, where there are such. Blocks while it
    /// computes, and while every session is in use.
    ///
    /// # Errors
    /// When the lengths do not fit each other or the runtime fails.
    pub fn run_graph(&self, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let rows = ids.len() / self.encoder.categorical_width();
        let pool = self.quick.as_ref().filter(|_| rows <= FEW).unwrap_or(&self.bulk);
        pool.run_batch(rows, ids, numbers)
    }

    /// The valuation of one of the listings that were predicted, counted from 0, with an interval of one of the
    /// trained levels. Without [`Self::warnings`], which may cost more than the rest.
    ///
    /// # Errors
    /// When the level is not one of [`Calibration::levels`], or the model gave no prices.
    ///
    /// # Panics
    /// If there is no such listing.
    pub fn valuation(&self, predicted: &Predicted<'_>, row: usize, level: f64) -> Result<Valuation, Error> {
        let (listing, today) = predicted.listings[row];
        let width = self.signature.quantiles.len();
        let quantiles = &predicted.quantiles[row * width..(row + 1) * width];
        let as_of = listing.date().unwrap_or(today);
        check_prices(quantiles)?;
        let age = listing.number(Column::Year).map_or(f64::NAN, |year| domain::identity::age(as_of, year));
        let calibration = &self.signature.calibration;
        let (low, high) = calibration.interval(level, quantiles, age).ok_or_else(|| Error::Metadata {
            key: "probeg.calibration",
            reason: format!("it has no interval of level {level}, only of {:?}", calibration.levels()),
        })?;
        Ok(Valuation {
            price: f64::from(quantiles[quantiles.len() / 2]),
            low,
            high,
            level,
            quantiles: quantiles.iter().map(|price| f64::from(*price)).collect(),
            as_of,
            warnings: Vec::new(),
        })
    }

    fn ids<'p>(&self, predicted: &'p Predicted<'_>, row: usize) -> &'p [i64] {
        let width = self.encoder.categorical_width();
        &predicted.ids[row * width..(row + 1) * width]
    }
}

/// The largest relative difference of prices to those expected; infinite where one of a pair is not a number.
#[must_use]
pub fn largest_difference(given: &[f32], expected: &[f32]) -> f64 {
    let differences = given.iter().zip(expected).map(|(given, expected)| {
        let difference = f64::from((given - expected).abs()) / f64::from(expected.abs());
        // A NaN on either side is a disagreement, which `f64::max` would ignore.
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    differences.fold(0.0, f64::max)
}

/// How much lower than the previous one a quantile may be, relative, owing to rounding.
const ROUNDING: f32 = 1e-5;

/// Whether quantiles of a price are numbers that rise.
fn check_prices(quantiles: &[f32]) -> Result<(), Error> {
    let are_prices = quantiles.iter().all(|price| price.is_finite() && *price >= 0.0);
    if are_prices && quantiles.windows(2).all(|pair| pair[1] >= pair[0] * (1.0 - ROUNDING)) {
        Ok(())
    } else {
        Err(Error::Nonsense(quantiles.to_vec()))
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

/// Of each category, in the order of the inputs.
fn largest_ids(signature: &Signature) -> Vec<usize> {
    signature.schema.categorical.iter().map(|feature| feature.values.len()).collect()
}

fn open_pool(
    runtime: &Runtime,
    graph: &mut Graph,
    widths: Widths,
    threads: usize,
    rows: &[usize],
) -> Result<Pool, Error> {
    rows.iter().try_for_each(|rows| runtime.rehearse(graph, widths, *rows))?;
    Pool::open(threads, rows, |rows| Session::open(runtime, graph, widths, rows))
}
