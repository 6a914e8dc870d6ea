//! The signature and the column types of binary COPY.

use domain::Column;

/// The signature at the start of a stream.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
pub(super) const EPOCH_IN_DAYS: i32 = 10_957;

/// The type of a column in the table `listings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    Text,
    Int2,
    Int4,
    Float4,
    Float8,
    Date,
}

/// The type of a column.
pub(super) fn sql_type(column: Column) -> SqlType {
    match column {
        Column::Year | Column::OwnersCount | Column::DaysListed => SqlType::Int2,
        Column::Mileage => SqlType::Int4,
        Column::EngineVolume | Column::EnginePower => SqlType::Float4,
        Column::Price | Column::SalePrice => SqlType::Float8,
        Column::ListingDate => SqlType::Date,
        Column::Brand
        | Column::Model
        | Column::VehicleGeneration
        | Column::BodyType
        | Column::FuelType
        | Column::Transmission
        | Column::Drive
        | Column::Wheel
        | Column::State
        | Column::Pts
        | Column::Customs
        | Column::Region
        | Column::Color => SqlType::Text,
    }
}
