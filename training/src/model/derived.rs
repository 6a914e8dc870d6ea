//! The numbers that the network sees, derived from the raw ones.

use burn::prelude::*;
use domain::Column;
use domain::feature::numeric_index;
use domain::identity::DAYS_PER_YEAR;

/// How many numbers the network sees: see [`derive`].
pub const DERIVED: usize = 7;
/// How many of them the perceptron sees: all but the mileage, the last.
pub const TRUNK: usize = DERIVED - 1;

/// A car may have been unsold for this long.
const NEW_FOR_YEARS: f64 = 2.0;
/// Kilometres for each year after that. A lower mileage is taken for a placeholder: such cars cost as much as others of
/// their age.
const MIN_MILEAGE_PER_YEAR: f64 = 300.0;

/// One column, `[N, 1]`, of raw numbers, `[N, F]`.
pub(super) fn raw_number(numeric: &Tensor<2>, column: Column) -> Tensor<2> {
    let place = numeric_index(column);
    numeric.clone().slice([0..numeric.dims()[0], place..place + 1])
}

/// The numbers that the network sees, `[N, D]`, of the raw ones, `[N, F]`: age, year, date, volume,
/// power, owners, mileage. NaN where a number that it is derived from is missing, and where a car's mileage is
/// implausibly low for its age.
#[must_use]
pub fn derive(numeric: &Tensor<2>) -> Tensor<2> {
    let column = |column| raw_number(numeric, column); // [N, 1]
    let date = column(Column::ListingDate);
    let year = column(Column::Year);
    let age = date.clone() / DAYS_PER_YEAR + 1970.0 - year.clone();
    let mileage = column(Column::Mileage);
    // False where the age is unknown.
    let is_implausible = mileage.clone().lower((age.clone() - NEW_FOR_YEARS) * MIN_MILEAGE_PER_YEAR);
    let mileage = mileage.mask_fill(is_implausible, f32::NAN);
    Tensor::cat(
        vec![
            age,
            year,
            date,
            column(Column::EngineVolume),
            column(Column::EnginePower),
            column(Column::OwnersCount),
            mileage,
        ],
        1,
    ) // [N, D]
}
