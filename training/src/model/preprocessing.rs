//! Preprocessing of the inputs, all of it inside the graph.

use burn::module::Module;
use burn::prelude::*;

use super::derived::{DERIVED, TRUNK, derive};
use super::generations::GenerationFiller;
use super::statistics::Statistics;
use crate::config::TrainConfig;

/// A missing number within the encoding: below every value.
const MISSING: f32 = -1e30;

/// Constants of the encoding; nothing here is learned by gradient.
#[derive(Module, Debug)]
pub struct Preprocessing {
    generations: GenerationFiller,
    /// First row of each category's part of the stacked embedding table, `[1, C]`.
    offsets: Tensor<2, Int>,
    /// Of all numbers but the mileage, `D - 1` times `B + 2`.
    numbers: Bins,
    /// Of the mileage, `O`.
    mileage: Bins,
}

/// `N` encoded listings, the input of the members.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Rows of the stacked embedding table, `[N, C]`.
    pub rows: Tensor<2, Int>,
    /// All numbers but the mileage, `[N, D - 1, B + 2]`: behind the bins whether the number is missing, and a 1.
    pub numbers: Tensor<3>,
    /// How much each output of the head counts, `[N, O]`: 1 for those that always do, and for the falls of the
    /// price the bins of the mileage and whether it is missing.
    pub mileage: Tensor<2>,
}

impl Preprocessing {
    /// The encoding of a run, with the bin edges of its first pass.
    #[must_use]
    pub fn init(config: &TrainConfig, statistics: &Statistics, device: &Device) -> Self {
        let (mileage, numbers) = statistics.edges.split_last().unwrap_or_else(|| unreachable!("there are D lists"));
        let numbers = numbers.iter().map(|edges| {
            let mut bins = bins(edges, config.n_bins);
            bins.push(Bin::ALWAYS);
            bins
        });
        let mut falls = vec![Bin::ALWAYS; outputs_that_always_count(config)];
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
            generations: GenerationFiller::new(&statistics.generations, device),
            offsets: Tensor::from_data(TensorData::new(offsets, [1, categories]), device),
            numbers: Bins::new(0, &numbers.collect::<Vec<_>>(), device),
            mileage: Bins::new(TRUNK, &[falls], device),
        }
    }

    /// Encodes ids of each category, `[N, C]`, and raw numbers, `[N, F]`.
    #[must_use]
    pub fn encode(&self, categorical: &Tensor<2, Int>, numeric: &Tensor<2>) -> Encoded {
        let numbers = derive(numeric); // [N, D]
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
        }
    }
}

/// How many of the head's outputs do not depend on the mileage: two make up the median at zero mileage, the others are
/// distances between quantiles.
pub(super) fn outputs_that_always_count(config: &TrainConfig) -> usize {
    config.quantiles.len() + 1
}

/// How many outputs the head has: those that always count, then one for each bin of the mileage and one for a missing
/// mileage.
pub(super) fn outputs(config: &TrainConfig) -> usize {
    outputs_that_always_count(config) + config.n_bins + 1
}

/// The piecewise-linear encoding (arXiv 2203.05556, section 3.2): each bin rises from 0 to 1 between its edges. Written
/// as a matrix product, which is fast in every runtime.
#[derive(Module, Debug)]
struct Bins {
    /// One over the width of each bin, in the row of its number, `[D, bins]`.
    inverse_widths: Tensor<2>,
    /// The lower edge of each bin times its inverse width, `[1, bins]`.
    lower: Tensor<2>,
}

impl Bins {
    /// Of some of the `D` numbers, from `first` on.
    fn new(first: usize, numbers: &[Vec<Bin>], device: &Device) -> Self {
        let width = numbers.iter().map(Vec::len).sum();
        let mut inverse_widths = vec![0.0; first * width];
        for place in 0..numbers.len() {
            let bins = numbers.iter().enumerate().flat_map(|(other, bins)| {
                bins.iter().map(move |bin| if other == place { bin.inverse_width } else { 0.0 })
            });
            inverse_widths.extend(bins);
        }
        inverse_widths.resize(DERIVED * width, 0.0);
        let lower: Vec<f32> = numbers.iter().flatten().map(|bin| bin.lower * bin.inverse_width).collect();
        Self {
            inverse_widths: Tensor::from_data(TensorData::new(inverse_widths, [DERIVED, width]), device),
            lower: Tensor::from_data(TensorData::new(lower, [1, width]), device),
        }
    }

    /// `[N, bins]` of all numbers, `[N, D]`.
    fn encode(&self, numbers: Tensor<2>) -> Tensor<2> {
        (numbers.matmul(self.inverse_widths.clone()) - self.lower.clone()).clamp(0.0, 1.0)
    }
}

/// A bin of a number. Constants and the missing mark are bins too, with edges beyond all values.
#[derive(Clone, Copy)]
struct Bin {
    lower: f32,
    inverse_width: f32,
}

impl Bin {
    /// 0 whatever the number.
    const NEVER: Self = Self { lower: -MISSING, inverse_width: 1.0 };
    /// 1 whatever the number.
    const ALWAYS: Self = Self { lower: 2.0 * MISSING, inverse_width: 1.0 };
    /// 1 where the number is missing, and 0 where it is known.
    const IF_MISSING: Self = Self { lower: 0.1 * MISSING, inverse_width: -1.0 };
}

/// `n_bins` bins between rising edges, and whether the number is missing. A number that no training row had always
/// counts as missing, since the network has not learned to use it.
fn bins(edges: &[f32], n_bins: usize) -> Vec<Bin> {
    let mut bins: Vec<Bin> =
        edges.windows(2).map(|pair| Bin { lower: pair[0], inverse_width: (pair[1] - pair[0]).recip() }).collect();
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
    fn a_number_that_training_never_knew_stays_missing() {
        let device = Device::flex();
        let mut edges = vec![vec![0.0, 1.0]; DERIVED];
        // Without dates in training there is no age either.
        edges[0].clear();
        edges[2].clear();
        let statistics = Statistics {
            cardinalities: vec![1; CATEGORICAL.len()],
            edges,
            generations: GenerationCounter::default().most_frequent(1),
            log_mean: 0.0,
            log_deviation: 1.0,
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
        assert_eq!(dated[..3], [0.0, 1.0, 1.0], "no bin, the mark of a missing number, and a 1");
        assert_eq!(dated[..9], undated[..9], "age, year and date");
        assert_eq!(dated[3..6], [0.5, 0.0, 1.0], "the year is known");
        let always = outputs_that_always_count(&config);
        assert!(driven[..always].iter().chain(&unknown[..always]).all(|weight| (*weight - 1.0).abs() < f32::EPSILON));
        assert_eq!(driven[always..], [0.25, 0.0]);
        assert_eq!(unknown[always..], [0.0, 1.0]);
        assert_eq!(implausible, unknown, "two thousand years and a quarter of a kilometre");
    }
}
