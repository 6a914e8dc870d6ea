//! Fits the statistics of the training split before training: vocabularies, generations, bin edges and the scale of the
//! prices.

use std::path::Path;

use burn::prelude::*;
use chrono::NaiveDate;
use domain::feature::{FeatureSchema, MODEL, NUMERIC};
use domain::identity::Split;
use domain::quantile;
use domain::{Column, Task};
use onnx_model::Encoder;
use onnx_model::reference::{KeyDistribution, NumberDistribution, Reference};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::ListingChunk;

use crate::Error;
use crate::checkpoint::PreparedData;
use crate::config::TrainConfig;
use crate::model::{DERIVED, GenerationCounter, Statistics, derive};
use crate::stream::ListingStream;
use crate::vocabulary::VocabularyCounter;

/// The size of the uniform sample of rows from which the bin edges are computed.
const SAMPLE_ROWS: usize = 65_536;
/// The standard deviation of the logarithm below which a target counts as constant.
const MIN_DEVIATION: f64 = 1e-6;
/// The number of keys to count, as a multiple of the maximum vocabulary size.
const COUNTED_KEYS_FACTOR: usize = 2;

/// Fits the preprocessing in two passes over the training split, in constant memory. The second pass writes the spool, if a
/// path is given.
pub fn fit(
    stream: &mut ListingStream<'_>,
    config: &TrainConfig,
    task: &Task,
    spool: Option<&Path>,
) -> Result<PreparedData, Error> {
    let mut counter = VocabularyCounter::new(COUNTED_KEYS_FACTOR * config.max_vocabulary);
    let mut sample = Reservoir::new(config.seed);
    let mut prices = Moments::default();
    let mut dates: Option<[f32; 2]> = None;
    stream.scan(Split::Train, |chunk| {
        for row in 0..chunk.len() {
            counter.add(|column| chunk.text(column, row));
            prices.add(chunk.target(row).ln());
            if let Some(date) = chunk.number(Column::ListingDate, row) {
                dates = Some(dates.map_or([date, date], |[first, last]| [first.min(date), last.max(date)]));
            }
            sample.offer(chunk, row);
        }
        Ok(true)
    })?;
    if prices.deviation() < MIN_DEVIATION {
        return Err(Error::ConstantTarget { task: task.name.clone(), target: task.target.name() });
    }
    let schema = counter.into_schema(config.min_count, config.max_vocabulary, &task.market);
    let encoder = Encoder::new(&schema)?;
    let mut generations = GenerationCounter::default();
    let mut keys: Vec<Vec<u64>> = schema.categorical.iter().map(|feature| vec![0; feature.values.len() + 1]).collect();
    stream.encode_split(Split::Train, &encoder, spool, |batch| {
        generations.add(batch);
        for ids in batch.ids.chunks_exact(keys.len()) {
            // An id is the index of a key plus one, or 0 if unknown.
            keys.iter_mut().zip(ids).for_each(|(counts, id)| counts[id.unsigned_abs() as usize] += 1);
        }
    })?;
    let distributions = schema.categorical.iter().zip(&keys);
    let reference = Reference {
        categorical: distributions.map(|(feature, counts)| KeyDistribution::new(&feature.name, counts)).collect(),
        numeric: sample.distributions(&schema),
    };
    let statistics = Statistics {
        generations: generations.most_frequent(schema.categorical[MODEL].values.len()),
        cardinalities: schema.categorical.iter().map(|feature| feature.values.len()).collect(),
        edges: sample.edges(config.n_bins),
        dates: dates.and_then(|[first, last]| Some([date(first)?, date(last)?])),
        log_mean: prices.mean,
        log_deviation: prices.deviation(),
        falls_with_mileage: task.is_price(),
    };
    Ok(PreparedData { schema, statistics, reference })
}

fn date(days: f32) -> Option<NaiveDate> {
    #[expect(clippy::cast_possible_truncation, reason = "whole days, checked at import")]
    NaiveDate::from_epoch_days(days as i32)
}

/// A uniform sample of a stream of unknown length (Vitter 1985, algorithm R).
struct Reservoir {
    rows: Vec<f32>,
    seen: usize,
    random: ChaCha8Rng,
}

impl Reservoir {
    fn new(seed: u64) -> Self {
        Self { rows: Vec::new(), seen: 0, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn offer(&mut self, chunk: &ListingChunk, row: usize) {
        let numbers = NUMERIC.map(|column| chunk.number(column, row).unwrap_or(f32::NAN));
        self.seen += 1;
        if self.seen <= SAMPLE_ROWS {
            self.rows.extend(numbers);
            return;
        }
        let index = self.random.random_range(0..self.seen);
        if index < SAMPLE_ROWS {
            self.rows[index * NUMERIC.len()..(index + 1) * NUMERIC.len()].copy_from_slice(&numbers);
        }
    }

    /// The distribution of each number.
    fn distributions(&self, schema: &FeatureSchema) -> Vec<NumberDistribution> {
        let column = |index| self.rows.iter().skip(index).step_by(NUMERIC.len()).copied().collect::<Vec<_>>();
        let features = schema.numeric.iter().enumerate();
        features.map(|(index, feature)| NumberDistribution::new(&feature.name, &column(index))).collect()
    }

    /// The bin edges of each derived number: at most `n_bins + 1` distinct quantiles.
    fn edges(self, n_bins: usize) -> Vec<Vec<f32>> {
        let rows = self.rows.len() / NUMERIC.len();
        let raw = Tensor::<2>::from_data(TensorData::new(self.rows, [rows, NUMERIC.len()]), &Device::flex());
        let derived: Vec<f32> = derive(&raw).into_data().iter::<f32>().collect();
        let column = |index: usize| derived.iter().skip(index).step_by(DERIVED).copied();
        (0..DERIVED).map(|index| quantile_edges(column(index).collect(), n_bins)).collect()
    }
}

fn quantile_edges(mut values: Vec<f32>, n_bins: usize) -> Vec<f32> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f32::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a handful of bins")]
    let edge = |edge: usize| {
        let position = edge as f64 / n_bins as f64;
        // Denser quantile levels at both ends, where values are far apart.
        let level = position * position * (3.0 - 2.0 * position);
        quantile::nearest(&values, level)
    };
    let mut edges: Vec<f32> = (0..=n_bins).filter_map(edge).collect();
    edges.dedup();
    edges
}

/// The mean and variance in one pass (Welford 1962).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_distinct_quantiles() {
        let values = (0..=100_u8).map(f32::from).collect();
        assert_eq!(quantile_edges(values, 4), [0.0, 16.0, 50.0, 84.0, 100.0]);
        assert_eq!(quantile_edges(vec![1.0, 1.0, 1.0, 2.0, f32::NAN], 4), [1.0, 2.0]);
        assert!(quantile_edges(vec![f32::NAN], 4).is_empty());
    }

    #[test]
    fn moments_match_their_definitions() {
        let mut moments = Moments::default();
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            moments.add(value);
        }
        assert!((moments.mean - 5.0).abs() < 1e-12);
        assert!((moments.deviation() - 2.0).abs() < 1e-12);
    }
}
