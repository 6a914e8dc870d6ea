//! The short forms in which people describe a car.

use crate::column::Column;
use crate::listing::Listing;

/// The fields of a listing other than its date, those first that people know best and fill in most.
pub const FIELDS: [Column; 18] = [
    Column::Brand,
    Column::Model,
    Column::Year,
    Column::Mileage,
    Column::EngineVolume,
    Column::EnginePower,
    Column::Transmission,
    Column::Drive,
    Column::BodyType,
    Column::FuelType,
    Column::VehicleGeneration,
    Column::Color,
    Column::Region,
    Column::OwnersCount,
    Column::Wheel,
    Column::Pts,
    Column::State,
    Column::Customs,
];

/// The numbers of leading [`FIELDS`] in the short forms that accuracy is reported for.
pub const SHORT_FORMS: [usize; 3] = [4, 7, 9];

/// Removes all but the first `fields` of [`FIELDS`] and the date, since a price is as of a day.
pub fn shorten(listing: &mut Listing, fields: usize) {
    for column in &FIELDS[fields.min(FIELDS.len())..] {
        listing.set(*column, None);
    }
}
