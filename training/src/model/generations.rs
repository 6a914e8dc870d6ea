//! Imputes the generation of a car from its model and year.

use burn::module::Module;
use burn::prelude::*;
use domain::Column;
use domain::feature::{CATEGORICAL, GENERATION, MODEL, NUMERIC, numeric_index};
use serde::{Deserialize, Serialize};
use storage::TabularBatch;

use super::derived::raw_number;
use crate::frequency::FrequencySketch;

/// Counts the generations of each model and year.
#[derive(Debug)]
pub struct GenerationCounter {
    /// By model id, year and generation id.
    counts: FrequencySketch<(i64, i64, i64)>,
}

/// The capacity of the sketch, far above the number of existing combinations.
const MAX_COMBINATIONS: usize = 1 << 18;

impl Default for GenerationCounter {
    fn default() -> Self {
        Self { counts: FrequencySketch::new(MAX_COMBINATIONS) }
    }
}

impl GenerationCounter {
    /// Counts the listings with a known generation.
    pub fn add(&mut self, batch: &TabularBatch) {
        let listings = batch.ids.chunks(CATEGORICAL.len()).zip(batch.numbers.chunks(NUMERIC.len()));
        for (ids, numbers) in listings {
            let year = numbers[numeric_index(Column::Year)];
            let (model, generation) = (i64::from(ids[MODEL]), i64::from(ids[GENERATION]));
            if model != 0 && generation != 0 && year.is_finite() {
                #[expect(clippy::cast_possible_truncation, reason = "years have four digits")]
                let year = year as i64;
                // Adjacent years get half the weight, to smooth out single outliers.
                for (year, weight) in [(year - 1, 1), (year, 2), (year + 1, 1)] {
                    self.counts.add(&(model, year, generation), weight);
                }
            }
        }
    }

    /// The most frequent generation for each year and each model id up to `models`.
    #[must_use]
    pub fn most_frequent(self, models: usize) -> Generations {
        let counts: Vec<_> = self.counts.into_counts().collect();
        let years = || counts.iter().map(|((_, year, _), _)| *year);
        let (first, last) = (years().min().unwrap_or(0), years().max().unwrap_or(0));
        let mut best: Vec<Vec<(u64, i64)>> = (first..=last).map(|_| vec![(0, 0); models + 1]).collect();
        for ((model, year, generation), count) in counts {
            let index = usize::try_from(year - first).ok().zip(usize::try_from(model).ok());
            let best = index.and_then(|(year, model)| best.get_mut(year)?.get_mut(model));
            if let Some(best) = best {
                // Ties go to the higher id, independent of the order of the map.
                *best = (*best).max((count, generation));
            }
        }
        let ids = best.into_iter().map(|year| year.into_iter().map(|(_, generation)| generation).collect()).collect();
        Generations { first_year: first, ids }
    }
}

/// The generation to impute by year and model; about half of all listings do not state one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Generations {
    first_year: i64,
    /// Generation ids by year, then by model id; 0 if there is none.
    ids: Vec<Vec<i64>>,
}

/// Imputes missing generations.
#[derive(Module, Debug)]
pub struct GenerationFiller {
    first_year: i64,
    /// Generation ids, `[years · (models + 1)]`.
    ids: Tensor<1, Int>,
    /// The offset of each year in `ids`, `[years]`: a lookup, since runtimes are slow at integer multiplication.
    starts: Tensor<1, Int>,
}

impl GenerationFiller {
    /// A filler with constant tensors on a device.
    #[must_use]
    pub fn new(generations: &Generations, device: &Device) -> Self {
        let (years, models) = (generations.ids.len(), generations.ids[0].len());
        let ids: Vec<i64> = generations.ids.iter().flatten().copied().collect();
        let ids = Tensor::from_data(TensorData::new(ids, [years * models]), device);
        #[expect(clippy::cast_possible_wrap, reason = "vocabularies are capped")]
        let starts: Vec<i64> = (0..years).map(|year| (year * models) as i64).collect();
        let starts = Tensor::from_data(TensorData::new(starts, [years]), device);
        Self { first_year: generations.first_year, ids, starts }
    }

    /// Ids `[N, C]` with generations imputed, from ids and raw numbers `[N, F]`.
    #[must_use]
    pub fn fill(&self, ids: &Tensor<2, Int>, numbers: &Tensor<2>) -> Tensor<2, Int> {
        let n = ids.dims()[0];
        let column = |index| ids.clone().slice([0..n, index..index + 1]); // [N, 1]
        let year = raw_number(numbers, Column::Year); // [N, 1]
        let is_unknown = year.clone().is_nan();
        #[expect(clippy::cast_precision_loss, reason = "years have four digits")]
        let (first, last) = (self.first_year as f64, (self.starts.dims()[0] - 1) as f64);
        let year = (year.mask_fill(is_unknown, first) - first).clamp(0.0, last); // [N, 1]
        let start = self.starts.clone().select(0, year.int().reshape([n])).reshape([n, 1]);
        let index = start + column(MODEL); // [N, 1]
        let imputed = self.ids.clone().select(0, index.reshape([n])).reshape([n, 1]);
        let stated = column(GENERATION);
        let filled = stated.clone().mask_where(stated.equal_elem(0), imputed);
        let before = ids.clone().slice([0..n, 0..GENERATION]);
        let after = ids.clone().slice([0..n, GENERATION + 1..CATEGORICAL.len()]);
        Tensor::cat(vec![before, filled, after], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_generation_of_the_year_is_imputed() {
        let mut counter = GenerationCounter::default();
        // Generations 1 and 2 of model 1 overlap in 2012.
        for (year, generation, times) in [(2011.0, 1, 2), (2012.0, 1, 1), (2012.0, 2, 3), (2013.0, 0, 5)] {
            (0..times).for_each(|_| counter.add(&listing(year, 1, generation)));
        }
        let filler = GenerationFiller::new(&counter.most_frequent(2), &Device::flex());
        let generation_in = |year, model, generation| {
            let batch = listing(year, model, generation);
            let ids = Tensor::from_data(TensorData::new(batch.ids, [1, CATEGORICAL.len()]), &Device::flex());
            let numbers = Tensor::from_data(TensorData::new(batch.numbers, [1, NUMERIC.len()]), &Device::flex());
            let ids: Vec<i64> = filler.fill(&ids, &numbers).into_data().iter::<i64>().collect();
            assert_eq!((ids.len(), ids[MODEL]), (CATEGORICAL.len(), i64::from(model)));
            ids[GENERATION]
        };
        assert_eq!(generation_in(2011.0, 1, 0), 1);
        assert_eq!(generation_in(2012.0, 1, 0), 2);
        assert_eq!(generation_in(2012.0, 1, 1), 1, "a stated generation is unchanged");
        assert_eq!(generation_in(2030.0, 1, 0), 2, "the newest is imputed for later years");
        assert_eq!(generation_in(2012.0, 2, 0), 0, "the other model has no generation");
        assert_eq!(generation_in(2012.0, 0, 0), 0, "an unknown model has none either");
    }

    fn listing(year: f32, model: i32, generation: i32) -> TabularBatch {
        let mut batch = TabularBatch {
            ids: vec![7; CATEGORICAL.len()],
            numbers: vec![f32::NAN; NUMERIC.len()],
            log_prices: vec![0.0],
        };
        batch.ids[MODEL] = model;
        batch.ids[GENERATION] = generation;
        batch.numbers[numeric_index(Column::Year)] = year;
        batch
    }
}
