//! What happens to the inputs before the network: all of it inside the graph.

use burn::module::Module;
use burn::prelude::*;
use domain::Column;
use domain::feature::numeric_place;
use domain::identity::DAYS_PER_YEAR;

use super::Statistics;

/// How many numbers the network sees: see [`derive`].
pub const DERIVED: usize = 7;

/// Constants of the encoding; nothing here is learned by gradient.
#[derive(Module, Debug)]
pub struct Preprocessing {
    /// First row of each category's part of the stacked embedding table, `[1, C]`.
    offsets: Tensor<2, Int>,
    /// Lower edge of each bin, `[1, D, B]`.
    lower: Tensor<3>,
    /// One over the width of each bin, `[1, D, B]`.
    inverse_width: Tensor<3>,
}

/// The numbers that the network sees, `[N, D]`, of the raw ones, `[N, F]`: age, date, mileage,
/// mileage a year, volume, power, owners. NaN where a number that it is made of is missing.
#[must_use]
pub fn derive(numeric: Tensor<2>) -> Tensor<2> {
    let column = |column| {
        let place = numeric_place(column);
        numeric.clone().slice([0..numeric.dims()[0], place..place + 1]) // [N, 1]
    };
    let date = column(Column::ListingDate);
    let mileage = column(Column::Mileage);
    let age = date.clone() / DAYS_PER_YEAR + 1970.0 - column(Column::Year);
    // A car of this year has been driven for half a year on average.
    let mileage_per_year = mileage.clone() / (age.clone().clamp_min(0.0) + 0.5);
    Tensor::cat(
        vec![
            age,
            date,
            mileage,
            mileage_per_year,
            column(Column::EngineVolume),
            column(Column::EnginePower),
            column(Column::OwnersCount),
        ],
        1,
    ) // [N, D]
}

impl Preprocessing {
    /// The encoding of a run: bins between the given edges.
    #[must_use]
    pub fn init(n_bins: usize, statistics: &Statistics, device: &Device) -> Self {
        // Bins that a number has no edges for begin beyond every value, so that they stay 0.
        const NEVER: f32 = 1e30;
        let (mut lower, mut inverse_width) = (Vec::new(), Vec::new());
        for edges in &statistics.edges {
            let mut bins: Vec<(f32, f32)> =
                edges.windows(2).map(|pair| (pair[0], (pair[1] - pair[0]).recip())).collect();
            bins.resize(n_bins, (NEVER, 1.0));
            lower.extend(bins.iter().map(|bin| bin.0));
            inverse_width.extend(bins.iter().map(|bin| bin.1));
        }
        let shape = [1, statistics.edges.len(), n_bins];
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
            offsets: Tensor::from_data(TensorData::new(offsets, [1, categories]), device),
            lower: Tensor::from_data(TensorData::new(lower, shape), device),
            inverse_width: Tensor::from_data(TensorData::new(inverse_width, shape), device),
        }
    }

    /// Rows of the stacked embedding table, `[N, C]`, of the ids of each category, `[N, C]`.
    #[must_use]
    pub fn rows(&self, categorical: Tensor<2, Int>) -> Tensor<2, Int> {
        categorical + self.offsets.clone()
    }

    /// The piecewise-linear encoding (arXiv 2203.05556, section 3.2) of raw numbers `[N, F]`:
    /// `[N, D, B + 1]`, the last place 1 where the number is missing and all others 0.
    #[must_use]
    pub fn encode(&self, numeric: Tensor<2>) -> Tensor<3> {
        let numbers: Tensor<3> = derive(numeric).unsqueeze_dim(2); // [N, D, 1]
        let is_missing = numbers.clone().is_nan(); // [N, D, 1]
        let missing = is_missing.clone().float(); // [N, D, 1]
        // Below every edge, a missing number encodes to 0 in all bins.
        let known = numbers.mask_fill(is_missing, -1e30); // [N, D, 1]
        let encoded = ((known - self.lower.clone()) * self.inverse_width.clone()).clamp(0.0, 1.0); // [N, D, B]
        Tensor::cat(vec![encoded, missing], 2) // [N, D, B + 1]
    }
}
