//! The preprocessing of the inputs, which is part of the graph.

use burn::module::Module;
use burn::prelude::*;

use super::bins::{Bin, Bins, MISSING};
use super::derived::{DERIVED, TRUNK, derive};
use super::generations::GenerationFiller;
use super::horizon::DateRange;
use super::statistics::Statistics;
use crate::config::TrainConfig;

/// The constants of the encoding, which are not trained.
#[derive(Module, Debug)]
pub struct Preprocessing {
    dates: DateRange,
    generations: GenerationFiller,
    /// The first row of each category in the stacked embedding table, `[1, C]`.
    offsets: Tensor<2, Int>,
    /// The bins of all numbers except the mileage, `D - 1` times `B + 2`.
    numbers: Bins,
    /// The bins of the mileage, `O`.
    mileage: Bins,
}

/// `N` encoded listings, the inputs of the members.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The rows in the stacked embedding table, `[N, C]`.
    pub rows: Tensor<2, Int>,
    /// All numbers except the mileage, `[N, D - 1, B + 2]`: the bins, a missing indicator, and a 1.
    pub numbers: Tensor<3>,
    /// The weight of each output of the head, `[N, O]`: 1 for the constant outputs, then the bins of the mileage and its missing
    /// indicator.
    pub mileage: Tensor<2>,
    /// The years between the day and the dates of the training data, `[N, 1]`, negative before them.
    pub years_beyond: Tensor<2>,
}

impl Preprocessing {
    /// The encoding for a configuration and the statistics of the training split.
    #[must_use]
    pub fn init(config: &TrainConfig, statistics: &Statistics, device: &Device) -> Self {
        let (mileage, numbers) =
            statistics.edges.split_last().unwrap_or_else(|| unreachable!("there is a list for each derived number"));
        let numbers = numbers.iter().map(|edges| {
            let mut bins = bins(edges, config.n_bins);
            bins.push(Bin::ALWAYS);
            bins
        });
        let mut falls = vec![Bin::ALWAYS; constant_outputs(config)];
        falls.extend(bins(mileage, config.n_bins));
        let mut offset = 0;
        let offsets: Vec<i32> = statistics
            .cardinalities
            .iter()
            .map(|cardinality| {
                let first = offset;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_possible_wrap,
                    reason = "vocabularies are capped"
                )]
                {
                    offset += *cardinality as i32 + 1;
                }
                first
            })
            .collect();
        let categories = offsets.len();
        Self {
            dates: DateRange::new(statistics.dates, device),
            generations: GenerationFiller::new(&statistics.generations, device),
            offsets: Tensor::from_data(TensorData::new(offsets, [1, categories]), device),
            numbers: Bins::new(0, DERIVED, &numbers.collect::<Vec<_>>(), device),
            mileage: Bins::new(TRUNK, DERIVED, &[falls], device),
        }
    }

    /// Encodes the ids of each category `[N, C]` and raw numbers `[N, F]`.
    #[must_use]
    pub fn encode(&self, categorical: &Tensor<2, Int>, numeric: &Tensor<2>) -> Encoded {
        let (clamped, years_beyond) = self.dates.clamp(numeric);
        let numbers = derive(&clamped); // [N, D]
        let n = numbers.dims()[0];
        let is_missing = numbers.clone().is_nan(); // [N, D]
        // Infinity times 0 would be NaN in a matrix product.
        let numbers = numbers.mask_fill(is_missing, MISSING).clamp(MISSING, -MISSING);
        let bins = self.numbers.encode(numbers.clone()); // [N, (D - 1) · (B + 2)]
        let width = bins.dims()[1] / TRUNK;
        Encoded {
            rows: self.generations.fill(categorical, numeric) + self.offsets.clone(),
            numbers: bins.reshape([n, TRUNK, width]),
            mileage: self.mileage.encode(numbers),
            years_beyond,
        }
    }
}

/// The number of outputs of the head whose weight is constant: two form the median at zero mileage, the others are the gaps
/// between quantiles.
#[must_use]
pub fn constant_outputs(config: &TrainConfig) -> usize {
    config.quantiles.len() + 1
}

/// The number of outputs of the head: the constant outputs, one per mileage bin, and one for a missing mileage.
pub(super) fn outputs(config: &TrainConfig) -> usize {
    constant_outputs(config) + config.n_bins + 1
}

/// `n_bins` bins between ascending edges, and the missing indicator. A number that is missing in all training rows is always
/// treated as missing, since the network is not trained on it.
fn bins(edges: &[f32], n_bins: usize) -> Vec<Bin> {
    let mut bins: Vec<Bin> = edges.windows(2).map(|pair| Bin::between(pair[0], pair[1])).collect();
    bins.resize(n_bins, Bin::NEVER);
    bins.push(if edges.is_empty() { Bin::ALWAYS } else { Bin::IF_MISSING });
    bins
}

#[cfg(test)]
mod tests {
    use domain::Column;
    use domain::feature::{CATEGORICAL, NUMERIC, numeric_index};

    use super::*;
    use crate::model::GenerationCounter;

    #[test]
    fn a_number_missing_in_all_training_rows_is_ignored() {
        let device = Device::flex();
        let mut edges = vec![vec![0.0, 1.0]; DERIVED];
        // Without dates in training there is no age either.
        edges[0].clear();
        edges[2].clear();
        let statistics = Statistics {
            cardinalities: vec![1; CATEGORICAL.len()],
            edges,
            generations: GenerationCounter::default().most_frequent(1),
            dates: None,
            log_mean: 0.0,
            log_deviation: 1.0,
            falls_with_mileage: true,
        };
        let config = TrainConfig { n_bins: 1, ..TrainConfig::default() };
        let preprocessing = Preprocessing::init(&config, &statistics, &device);
        let encode = |date: f32, mileage: f32| -> (Vec<f32>, Vec<f32>) {
            let mut listing = [0.5_f32; NUMERIC.len()];
            listing[numeric_index(Column::ListingDate)] = date;
            listing[numeric_index(Column::Mileage)] = mileage;
            let listing = Tensor::from_data(TensorData::new(listing.to_vec(), [1, NUMERIC.len()]), &device);
            let encoded = preprocessing.encode(&Tensor::zeros([1, CATEGORICAL.len()], &device), &listing);
            (encoded.numbers.into_data().iter().collect(), encoded.mileage.into_data().iter().collect())
        };
        let (dated, implausible) = encode(20_000.0, 0.25);
        let (undated, driven) = encode(f32::NAN, 0.25);
        let (_, unknown) = encode(f32::NAN, f32::NAN);
        assert_eq!(dated[..3], [0.0, 1.0, 1.0], "no bin, the missing indicator, and a 1");
        assert_eq!(dated[..9], undated[..9], "age, year and date");
        assert_eq!(dated[3..6], [0.5, 0.0, 1.0], "the year is known");
        let always = constant_outputs(&config);
        assert!(driven[..always].iter().chain(&unknown[..always]).all(|weight| (*weight - 1.0).abs() < f32::EPSILON));
        assert_eq!(driven[always..], [0.25, 0.0]);
        assert_eq!(unknown[always..], [0.0, 1.0]);
        assert_eq!(implausible, driven, "without an age, any mileage is plausible");
    }
}
