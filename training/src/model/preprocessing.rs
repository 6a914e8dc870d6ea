//! What happens to the inputs before the network: all of it inside the graph.

use burn::module::Module;
use burn::prelude::*;
use domain::Column;
use domain::feature::numeric_place;
use domain::identity::DAYS_PER_YEAR;

use super::Statistics;

/// How many numbers the network sees: see [`derive`].
pub const DERIVED: usize = 8;

/// Constants of the encoding; nothing here is learned by gradient.
#[derive(Module, Debug)]
pub struct Preprocessing {
    /// First row of each category's part of the stacked embedding table, `[1, C]`.
    offsets: Tensor<2, Int>,
    /// Lower edge of each bin, `[1, D, B]`.
    lower: Tensor<3>,
    /// One over the width of each bin, `[1, D, B]`.
    inverse_width: Tensor<3>,
    /// 1 for a number that no training row knew, `[1, D, 1]`: it counts as missing ever after, since the
    /// network has not learned what to do with it.
    never_known: Tensor<3>,
}

/// The numbers that the network sees, `[N, D]`, of the raw ones, `[N, F]`: age, year, date, mileage,
/// mileage a year, volume, power, owners. The year stands in where no date tells the age. NaN where a number that it is made of is missing.
#[must_use]
pub fn derive(numeric: &Tensor<2>) -> Tensor<2> {
    let column = |column| {
        let place = numeric_place(column);
        numeric.clone().slice([0..numeric.dims()[0], place..place + 1]) // [N, 1]
    };
    let date = column(Column::ListingDate);
    let mileage = column(Column::Mileage);
    let year = column(Column::Year);
    let age = date.clone() / DAYS_PER_YEAR + 1970.0 - year.clone();
    // A car of this year has been driven for half a year on average.
    let mileage_per_year = mileage.clone() / (age.clone().clamp_min(0.0) + 0.5);
    Tensor::cat(
        vec![
            age,
            year,
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
        let never_known: Vec<f32> =
            statistics.edges.iter().map(|edges| f32::from(u8::from(edges.is_empty()))).collect();
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
            never_known: Tensor::from_data(TensorData::new(never_known, [1, statistics.edges.len(), 1]), device),
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
    pub fn encode(&self, numeric: &Tensor<2>) -> Tensor<3> {
        let numbers: Tensor<3> = derive(numeric).unsqueeze_dim(2); // [N, D, 1]
        let is_missing = numbers.clone().is_nan(); // [N, D, 1]
        let missing = (is_missing.clone().float() + self.never_known.clone()).clamp_max(1.0); // [N, D, 1]
        // Below every edge, a missing number encodes to 0 in all bins.
        let known = numbers.mask_fill(is_missing, -1e30); // [N, D, 1]
        let encoded = ((known - self.lower.clone()) * self.inverse_width.clone()).clamp(0.0, 1.0); // [N, D, B]
        Tensor::cat(vec![encoded, missing], 2) // [N, D, B + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_training_never_knew_stays_missing() {
        let device = Device::flex();
        let mut edges = vec![vec![0.0, 1.0]; DERIVED];
        // Without dates in training there is no age either.
        edges[0].clear();
        edges[2].clear();
        let statistics = Statistics { cardinalities: vec![1], edges, log_mean: 0.0, log_deviation: 1.0 };
        let preprocessing = Preprocessing::init(1, &statistics, &device);
        let encode = |date: f32| -> Vec<f32> {
            let mut listing = [0.5_f32; domain::feature::NUMERIC.len()];
            listing[numeric_place(Column::ListingDate)] = date;
            let listing = Tensor::from_data(TensorData::new(listing.to_vec(), [1, listing.len()]), &device);
            preprocessing.encode(&listing).into_data().iter::<f32>().collect()
        };
        let (dated, undated) = (encode(20_000.0), encode(f32::NAN));
        assert_eq!(dated[..2], [0.0, 1.0], "no bin, and the mark of a missing number");
        assert_eq!(dated[..6], undated[..6], "age, year and date");
        assert_eq!(dated[2..4], [0.5, 0.0], "the year is known");
    }
}
