//! The derived numeric features.

use burn::prelude::*;
use domain::Column;
use domain::feature::numeric_index;
use domain::identity::DAYS_PER_YEAR;

/// The number of derived features; see [`derive`].
pub const DERIVED: usize = 7;
/// The number of features that are inputs of the perceptron: all except the mileage, which is the last.
pub const TRUNK: usize = DERIVED - 1;

/// The age in years up to which any mileage is plausible, since the car may have been unsold.
const NEW_FOR_YEARS: f64 = 2.0;
/// The minimum plausible mileage in kilometers per year after that. A lower one is treated as a placeholder: such cars cost
/// as much as others of their age.
const MIN_MILEAGE_PER_YEAR: f64 = 300.0;

/// A column `[N, 1]` of the raw numbers `[N, F]`.
pub(super) fn raw_number(numeric: &Tensor<2>, column: Column) -> Tensor<2> {
    let index = numeric_index(column);
    numeric.clone().slice([0..numeric.dims()[0], index..index + 1])
}

/// The derived features `[N, D]` of the raw numbers `[N, F]`: age, year, date, engine volume, engine power, owners, mileage.
/// NaN if an input is missing, or if the mileage is implausibly low for the age.
#[must_use]
pub fn derive(numeric: &Tensor<2>) -> Tensor<2> {
    let column = |column| raw_number(numeric, column); // [N, 1]
    let date = column(Column::ListingDate);
    let year = column(Column::Year);
    let age = date.clone() / DAYS_PER_YEAR + 1970.0 - year.clone();
    let mileage = column(Column::Mileage);
    // False if the age is unknown.
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
