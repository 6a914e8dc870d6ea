//! Fits the linear model: a ridge regression of the log price on the same encoded inputs as the network.

mod design;
mod ridge;

use std::iter::repeat_n;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;
use domain::feature::{CATEGORICAL, NUMERIC};
use domain::identity::Split;
use domain::quantile;
use onnx_model::Encoder;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use storage::TabularBatch;

use crate::Error;
use crate::accuracy::average;
use crate::budget;
use crate::config::TrainConfig;
use crate::masks::Masks;
use crate::model::{
    Estimator, LinearModel, LinearWeights, Preprocessing, Statistics, TRUNK, TabularRegressor, constant_outputs,
};
use crate::stream::ListingStream;
use design::{Design, Layout};
use ridge::Ridge;

/// The penalties to choose from, the largest first: each fit starts at the weights of the one before.
const PENALTIES: [f64; 5] = [30.0, 10.0, 3.0, 1.0, 0.3];
/// The maximum number of validation rows on which a penalty is judged.
const MAX_VALIDATION_ROWS: usize = 1 << 16;

/// The data of a fit.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// The statistics of the training split.
    pub statistics: &'a Statistics,
    /// Encodes listings as ids and numbers.
    pub encoder: &'a Encoder,
    /// The number of listings of the training split.
    pub rows: u64,
}

/// A fitted linear model.
pub struct LinearFit {
    /// The model.
    pub regressor: TabularRegressor,
    /// The penalty that was chosen.
    pub penalty: f64,
}

/// Fits a linear model to the training split, in memory that does not grow with it: on every n-th row, as listed and with values
/// masked, so that incomplete listings have a price too. The validation split decides on the penalty.
///
/// # Errors
/// The memory is too small, the database is unavailable, or [`Error::Interrupted`].
pub fn fit(
    config: &TrainConfig,
    data: Data<'_>,
    stream: &mut ListingStream<'_>,
    stop: &AtomicBool,
) -> Result<LinearFit, Error> {
    let device = Device::flex();
    let preprocessing = Preprocessing::init(config, data.statistics, &device);
    let [train, validation] = read_rows(config, data, &preprocessing, stream)?;
    let mut weights = vec![0.0; train.layout().width()];
    let mut best: Option<Candidate> = None;
    for penalty in PENALTIES {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ridge { design: &train, penalty }.solve(&mut weights);
        let mut bounded = weights.clone();
        if data.statistics.falls_with_mileage {
            keep_falling(&mut bounded, &train);
        }
        let candidate = Candidate::new(penalty, bounded, &validation);
        if best.as_ref().is_none_or(|best| candidate.error < best.error) {
            best = Some(candidate);
        }
    }
    let Candidate { penalty, weights, residuals, .. } = best.unwrap_or_else(|| unreachable!("there are penalties"));
    let weights = graph_weights(config, train.layout(), &weights, &residuals);
    let estimator = Estimator::Linear(LinearModel::new(CATEGORICAL.len(), weights, &device));
    let regressor = TabularRegressor::new(preprocessing, estimator, data.statistics, config.quantiles.len());
    Ok(LinearFit { regressor, penalty })
}

/// A sample of the training split, as listed and with values masked, and the validation split.
fn read_rows(
    config: &TrainConfig,
    Data { statistics, encoder, rows }: Data<'_>,
    preprocessing: &Preprocessing,
    stream: &mut ListingStream<'_>,
) -> Result<[Design; 2], Error> {
    let layout = Layout {
        categories: statistics.cardinalities.iter().map(|cardinality| cardinality + 1).sum(),
        bins: config.n_bins,
    };
    let max_rows = budget::linear_rows(config, Design::BYTES_PER_ROW, layout.width())?;
    let sampling = usize::try_from(rows).unwrap_or(usize::MAX).div_ceil(max_rows / 2);
    let masks = Masks::new(config);
    let (mut train, mut validation) = (Design::new(layout), Design::new(layout));
    let mut seen = 0_usize;
    stream.for_each_batch(Split::Train, encoder, |batch| {
        let first = seen.next_multiple_of(sampling) - seen;
        seen += batch.len();
        let rows: Vec<u32> = (first..batch.len()).step_by(sampling).filter_map(|row| row.try_into().ok()).collect();
        let sample = batch.pick(&rows);
        if !sample.is_empty() {
            let mut random = ChaCha8Rng::seed_from_u64(config.seed);
            random.set_stream(seen as u64);
            for batch in [&sample, &masks.apply(&sample, random)] {
                add_rows(&mut train, batch, preprocessing, statistics);
            }
        }
        true
    })?;
    stream.for_each_batch(Split::Validation, encoder, |batch| {
        add_rows(&mut validation, &batch, preprocessing, statistics);
        validation.len() < MAX_VALIDATION_ROWS
    })?;
    Ok([train, validation])
}

fn add_rows(design: &mut Design, batch: &TabularBatch, preprocessing: &Preprocessing, statistics: &Statistics) {
    let device = Device::flex();
    let ids = TensorData::new(batch.ids.clone(), [batch.len(), CATEGORICAL.len()]);
    let numbers = TensorData::new(batch.numbers.clone(), [batch.len(), NUMERIC.len()]);
    let encoded = preprocessing.encode(&Tensor::from_data(ids, &device), &Tensor::from_data(numbers, &device));
    design.add(encoded, batch.log_prices.iter().map(|log_price| statistics.standardized(*log_price)));
}

/// The model of a penalty.
struct Candidate {
    penalty: f64,
    weights: Vec<f64>,
    /// The residuals of the validation rows, ascending.
    residuals: Vec<f64>,
    /// The mean absolute residual.
    error: f64,
}

impl Candidate {
    fn new(penalty: f64, weights: Vec<f64>, validation: &Design) -> Self {
        let mut residuals: Vec<f64> = validation.residuals(&weights).collect();
        residuals.sort_unstable_by(f64::total_cmp);
        let error = average(residuals.iter().map(|residual| residual.abs()));
        Self { penalty, weights, residuals, error }
    }
}

/// Changes the weights of the mileage so that the price never rises with it.
fn keep_falling(weights: &mut [f64], train: &Design) {
    let layout = train.layout();
    let mileage = layout.number(TRUNK)..layout.number(TRUNK) + layout.bins + 1;
    make_descending(&mut weights[mileage.clone()], &train.squares()[mileage]);
}

/// Replaces values by the nearest descending ones in the weighted least squares, by pooling adjacent values (Barlow et al. 1972).
fn make_descending(values: &mut [f64], value_weights: &[f64]) {
    // The mean, the weight and the number of values of each pool.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (value, weight) in values.iter().zip(value_weights) {
        // An edge that no row is near has no weight.
        let mut pool = (*value, weight.max(f64::MIN_POSITIVE), 1);
        while let Some((mean, weight, count)) = pools.pop_if(|(mean, ..)| *mean < pool.0) {
            let sum = weight + pool.1;
            pool = ((mean * weight + pool.0 * pool.1) / sum, sum, count + pool.2);
        }
        pools.push(pool);
    }
    let means = pools.into_iter().flat_map(|(mean, _, count)| repeat_n(mean, count));
    values.iter_mut().zip(means).for_each(|(value, mean)| *value = mean);
}

/// The weights of the graph: a bin has the change between its edges. Each quantile is at the residual of its level.
#[expect(clippy::cast_possible_truncation, reason = "the graph computes in single precision")]
fn graph_weights(config: &TrainConfig, layout: Layout, weights: &[f64], residuals: &[f64]) -> LinearWeights {
    // The weights of a number's bins and of its missing indicator, and its value below all bins, which is there in any case.
    let encoded = |number: usize| {
        let first = layout.number(number);
        let (edges, missing) = (&weights[first..=first + layout.bins], weights[first + layout.bins + 1]);
        let changes = edges.windows(2).map(|pair| (pair[1] - pair[0]) as f32);
        let changes: Vec<f32> = changes.chain([(missing - edges[0]) as f32]).collect();
        (changes, edges[0] as f32)
    };
    let numbers = (0..TRUNK).flat_map(|number| {
        let (mut weights, constant) = encoded(number);
        weights.push(constant);
        weights
    });
    let (bins, constant) = encoded(TRUNK);
    let mut mileage = vec![0.0; constant_outputs(config)];
    mileage[0] = constant;
    mileage.extend(bins);
    let offset = |level: &f64| quantile::interpolated(residuals, *level).unwrap_or_default() as f32;
    LinearWeights {
        categories: weights[..layout.categories].iter().map(|weight| *weight as f32).collect(),
        numbers: numbers.collect(),
        mileage,
        offsets: config.quantiles.iter().map(offset).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::model::{DERIVED, Encoded, GenerationCounter};

    fn config() -> TrainConfig {
        TrainConfig { n_bins: 4, ..TrainConfig::default() }
    }

    /// Statistics with fewer edges than bins, as of a number with few distinct values.
    fn statistics() -> Statistics {
        Statistics {
            cardinalities: vec![2; CATEGORICAL.len()],
            edges: vec![vec![0.0, 1.0, 3.0, 4.0]; DERIVED],
            generations: GenerationCounter::default().most_frequent(2),
            dates: None,
            log_mean: 0.0,
            log_deviation: 1.0,
            falls_with_mileage: true,
        }
    }

    /// Random listings, of which each tenth number is missing, encoded and as a design with these targets.
    fn encoded(rows: usize, target: impl Fn(usize) -> f32) -> (Encoded, Design) {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let ids: Vec<i64> = (0..rows * CATEGORICAL.len()).map(|_| random.random_range(0..=2)).collect();
        let number = |_| if random.random_bool(0.1) { f32::NAN } else { random.random_range(-1.0..5.0) };
        let numbers: Vec<f32> = (0..rows * NUMERIC.len()).map(number).collect();
        let device = Device::flex();
        let ids = Tensor::from_data(TensorData::new(ids, [rows, CATEGORICAL.len()]), &device);
        let numbers = Tensor::from_data(TensorData::new(numbers, [rows, NUMERIC.len()]), &device);
        let encoded = Preprocessing::init(&config(), &statistics(), &device).encode(&ids, &numbers);
        let layout = Layout { categories: 3 * CATEGORICAL.len(), bins: config().n_bins };
        let mut design = Design::new(layout);
        design.add(encoded.clone(), (0..rows).map(target));
        (encoded, design)
    }

    fn random_weights(width: usize) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        (0..width).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn the_graph_predicts_the_same_as_the_regression() {
        let (encoded, design) = encoded(200, |_| 0.0);
        let weights = random_weights(design.layout().width());
        let levels = config().quantiles;
        // The residual of each level is the level minus a half, so the median is the prediction itself.
        let graph = graph_weights(&config(), design.layout(), &weights, &[-0.5, 0.5]);
        let quantiles = LinearModel::new(CATEGORICAL.len(), graph, &Device::flex()).forward(encoded);
        let quantiles: Vec<f32> = quantiles.into_data().iter().collect();
        for (row, residual) in quantiles.chunks(levels.len()).zip(design.residuals(&weights)) {
            for (quantile, level) in row.iter().zip(&levels) {
                let expected = -residual + level - 0.5;
                assert!((f64::from(*quantile) - expected).abs() < 1e-4, "{quantile} instead of {expected}");
            }
            assert!(row.is_sorted_by(|low, high| low < high), "{row:?}");
        }
    }

    #[test]
    fn a_ridge_with_hardly_any_penalty_recovers_a_linear_function() {
        let (_, untargeted) = encoded(2000, |_| 0.0);
        let weights = random_weights(untargeted.layout().width());
        let predicted: Vec<f64> = untargeted.residuals(&weights).map(|residual| -residual).collect();
        #[expect(clippy::cast_possible_truncation, reason = "targets are in single precision")]
        let (_, design) = encoded(2000, |row| predicted[row] as f32);
        let error = |penalty| {
            let mut fitted = vec![0.0; weights.len()];
            Ridge { design: &design, penalty }.solve(&mut fitted);
            Candidate::new(penalty, fitted, &design).error
        };
        let [exact, shrunk] = [1e-3, 1e3].map(error);
        assert!(exact < 1e-2, "{exact}");
        assert!(shrunk > 10.0 * exact, "{shrunk} and {exact}");
        assert_eq!(error(1.0).to_bits(), error(1.0).to_bits());
    }

    #[test]
    fn the_price_never_rises_with_the_mileage() {
        let (_, design) = encoded(200, |_| 0.0);
        let layout = design.layout();
        let original = random_weights(layout.width());
        let mut weights = original.clone();
        keep_falling(&mut weights, &design);
        let first = layout.number(TRUNK);
        assert!(weights[first..=first + layout.bins].is_sorted_by(|near, far| near >= far), "{weights:?}");
        let is_same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
        assert!(weights[..first].iter().zip(&original).all(is_same), "other weights stay");
        assert!(
            is_same((&weights[first + layout.bins + 1], &original[first + layout.bins + 1])),
            "as does a missing one"
        );
    }

    #[test]
    fn rising_values_are_pooled_by_weight() {
        let mut values = [5.0, 1.0, 4.0, 3.0, 0.0];
        make_descending(&mut values, &[1.0, 2.0, 1.0, 1.0, 0.0]);
        // 1 and 4 become their weighted mean of 2, which 3 raises to 2.25.
        for (value, expected) in values.iter().zip([5.0, 2.25, 2.25, 2.25, 0.0]) {
            assert!((value - expected).abs() < 1e-12, "{values:?}");
        }
    }
}
