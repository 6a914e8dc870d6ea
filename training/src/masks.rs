//! Random masking of input values in training, so that a model learns to value incomplete listings.

use domain::Column;
use domain::feature::{BRAND, CATEGORICAL, GENERATION, MODEL, NUMERIC};
use domain::form::{FIELDS, SHORT_FORMS};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use storage::TabularBatch;

use crate::config::TrainConfig;
use crate::stream::is_maskable;

/// Masks known values, so that the network learns to value incomplete listings: a few categories in every row, so that a price
/// never depends on a single key; in some rows the model, or the make too, as if they had never been listed; and in a share
/// of the rows all values outside a form, see [`form`].
pub(crate) struct Masks {
    share: f64,
    category_dropout: f64,
}

/// The share of rows whose model is masked with its generation, as that of a new model.
const UNSEEN_MODEL_SHARE: f64 = 0.02;
/// The share of rows whose make is masked with its model and generation, as that of a new make.
const UNSEEN_MAKE_SHARE: f64 = 0.02;

/// A set of columns, a bit each.
type Columns = u32;

const fn bit(column: Column) -> Columns {
    1 << column as u32
}

impl Masks {
    pub(crate) fn new(config: &TrainConfig) -> Self {
        Self { share: config.mask, category_dropout: config.category_dropout }
    }

    /// A copy of the batch with values masked.
    pub(crate) fn apply(&self, batch: &TabularBatch, mut random: ChaCha8Rng) -> TabularBatch {
        let mut masked = batch.clone();
        let rows = masked.ids.chunks_mut(CATEGORICAL.len()).zip(masked.numbers.chunks_mut(NUMERIC.len()));
        for (ids, numbers) in rows {
            for id in ids.iter_mut() {
                if random.random_bool(self.category_dropout) {
                    *id = 0;
                }
            }
            let draw: f64 = random.random();
            if draw < UNSEEN_MAKE_SHARE + UNSEEN_MODEL_SHARE {
                (ids[MODEL], ids[GENERATION]) = (0, 0);
                if draw < UNSEEN_MAKE_SHARE {
                    ids[BRAND] = 0;
                }
            }
            if !random.random_bool(self.share) {
                continue;
            }
            let given = form(batch, &mut random);
            for (id, feature) in ids.iter_mut().zip(&CATEGORICAL) {
                if feature.columns.iter().any(|column| given & bit(*column) == 0) {
                    *id = 0;
                }
            }
            for (number, column) in numbers.iter_mut().zip(&NUMERIC) {
                if is_maskable(*column) && given & bit(*column) == 0 {
                    *number = f32::NAN;
                }
            }
        }
        masked
    }
}

/// The columns of a random form: in half of the cases the first fields that people fill in, else those that another listing
/// gives, since sources differ in what they ask for, or each with a probability that is itself random.
fn form(batch: &TabularBatch, random: &mut ChaCha8Rng) -> Columns {
    match random.random_range(0..4) {
        0 | 1 => {
            let fields = *SHORT_FORMS.choose(random).unwrap_or(&0);
            let fields = if random.random_bool(0.8) { fields } else { random.random_range(fields..FIELDS.len()) };
            FIELDS[..fields].iter().map(|column| bit(*column)).sum()
        }
        2 => given_fields(batch, random.random_range(0..batch.len())),
        _ => {
            let probability: f64 = random.random();
            FIELDS.iter().filter(|_| random.random_bool(probability)).map(|column| bit(*column)).sum()
        }
    }
}

/// The columns that a listing of the batch gives.
fn given_fields(batch: &TabularBatch, row: usize) -> Columns {
    let ids = &batch.ids[row * CATEGORICAL.len()..(row + 1) * CATEGORICAL.len()];
    let numbers = &batch.numbers[row * NUMERIC.len()..(row + 1) * NUMERIC.len()];
    let texts =
        CATEGORICAL.iter().zip(ids).filter(|(_, id)| **id != 0).filter_map(|(feature, _)| feature.columns.last());
    let numbers = NUMERIC.iter().zip(numbers).filter(|(_, number)| !number.is_nan()).map(|(column, _)| column);
    // A rare model has the id of a missing one.
    texts.chain(numbers).chain(&[Column::Brand, Column::Model]).fold(0, |columns, column| columns | bit(*column))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Rows that give all fields, but every second one no engine power.
    fn batch() -> TabularBatch {
        let (ids, mut numbers) = (vec![3; 4000 * CATEGORICAL.len()], vec![7.0; 4000 * NUMERIC.len()]);
        let power = NUMERIC.iter().position(|column| *column == Column::EnginePower).unwrap();
        for row in numbers.chunks_mut(NUMERIC.len()).step_by(2) {
            row[power] = f32::NAN;
        }
        TabularBatch { ids, numbers, log_prices: vec![13.0; 4000] }
    }

    fn masked(mask: f64) -> TabularBatch {
        let config = TrainConfig { mask, category_dropout: 0.0, ..TrainConfig::default() };
        Masks::new(&config).apply(&batch(), ChaCha8Rng::seed_from_u64(1))
    }

    /// The number of rows that give exactly the leading fields.
    fn rows_of_form(masked: &TabularBatch, fields: usize) -> usize {
        let form = FIELDS[..fields].iter().fold(0, |columns, column| columns | bit(*column));
        (0..masked.len()).filter(|row| given_fields(masked, *row) & !bit(Column::ListingDate) == form).count()
    }

    #[test]
    fn values_outside_of_a_form_are_masked() {
        let masked = masked(0.7);
        for (row, original) in masked.numbers.chunks(NUMERIC.len()).zip(batch().numbers.chunks(NUMERIC.len())) {
            for ((value, original), column) in row.iter().zip(original).zip(NUMERIC) {
                let is_kept = value.to_bits() == original.to_bits();
                assert!(is_kept || (value.is_nan() && is_maskable(column)), "{column:?} became {value}");
            }
        }
        // 0.7 · 0.5 · 0.8 / 3 of 4,000 rows, and some of the others by chance.
        for fields in SHORT_FORMS {
            let rows = rows_of_form(&masked, fields);
            assert!((150..600).contains(&rows), "{rows} rows with {fields} fields");
        }
    }

    #[test]
    fn without_a_share_only_unseen_makes_and_models_are_masked() {
        let (masked, original) = (masked(0.0), batch());
        let is_same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        assert!(masked.numbers.iter().zip(&original.numbers).all(is_same));
        let unseen =
            |index: usize| masked.ids.iter().skip(index).step_by(CATEGORICAL.len()).filter(|id| **id == 0).count();
        let (makes, models) = (unseen(BRAND), unseen(MODEL));
        assert!((40..130).contains(&makes) && (100..230).contains(&models), "{makes} {models}");
        assert_eq!(unseen(GENERATION), models);
        let others = masked.ids.iter().filter(|id| **id == 0).count();
        assert_eq!(others, makes + 2 * models, "no other category is masked");
    }
}
