//! Listings with implausible or contradictory values.

use domain::market::Distance;
use serde::Serialize;
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::snapshot::Snapshot;

/// A plausibility check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A mileage of at least a million kilometres or miles.
    VeryHighMileage,
    /// Less than 1,000 km or miles on a car at least three years old.
    HardlyDriven,
    /// More than 100,000 km or miles per year.
    DrivenTooFar,
    /// A mileage that is a multiple of 10,000 km or miles, probably a guess.
    RoundMileage,
    /// Manufactured after the listing.
    MadeAfterListing,
    /// An engine volume of 0 without being electric.
    NoVolume,
    /// Less than 20 hp or more than 250 hp per liter.
    PowerOutOfProportion,
    /// At most a quarter of the median price of the same brand, model and year.
    FarBelowLikeCars,
    /// At least four times the median price of the same brand, model and year.
    FarAboveLikeCars,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Suspicion {
    /// The check.
    pub check: Check,
    /// Listings.
    pub rows: i64,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 9] = [
        Self::VeryHighMileage,
        Self::HardlyDriven,
        Self::DrivenTooFar,
        Self::RoundMileage,
        Self::MadeAfterListing,
        Self::NoVolume,
        Self::PowerOutOfProportion,
        Self::FarBelowLikeCars,
        Self::FarAboveLikeCars,
    ];

    /// The SQL condition. `distance` is the mileage in the unit of the market; `age` is in calendar years; `like_cars` is the median price of at least ten similar cars.
    fn condition(self) -> &'static str {
        match self {
            Self::VeryHighMileage => "distance >= 1000000",
            Self::HardlyDriven => "distance < 1000 AND age >= 3",
            Self::DrivenTooFar => "distance > 100000 * greatest(age + 1, 1)",
            Self::RoundMileage => "distance > 0 AND distance % 10000 = 0",
            Self::MadeAfterListing => "age < 0",
            Self::NoVolume => "engine_volume = 0 AND fuel_type NOT LIKE '%электр%' AND fuel_type NOT LIKE '%electr%'",
            Self::PowerOutOfProportion => "engine_volume > 0 AND engine_power / engine_volume NOT BETWEEN 20 AND 250",
            Self::FarBelowLikeCars => "price <= like_cars / 4",
            Self::FarAboveLikeCars => "price >= like_cars * 4",
        }
    }
}

impl Snapshot {
    /// Counts the suspicious listings of each check, with mileages in a unit.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn suspicions(&mut self, unit: Distance) -> Result<Vec<Suspicion>> {
        let counts = Check::ALL.map(|check| format!("count(*) FILTER (WHERE {})", check.condition()));
        let query = sqlx::query_scalar(AssertSqlSafe(format!(
            "WITH likes AS (
                 SELECT brand, model, year, percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS like_cars
                 FROM listings WHERE model IS NOT NULL GROUP BY brand, model, year HAVING count(*) >= 10)
             SELECT ARRAY[{}]
             FROM (SELECT listings.*, likes.like_cars, round(mileage / $1)::bigint AS distance, date_part('year', listing_date)::int - year AS age
                   FROM listings LEFT JOIN likes USING (brand, model, year)) AS checked",
            counts.join(", ")
        )));
        let counts: Vec<i64> = query.bind(unit.kilometres()).fetch_one(self.connection()?).await?;
        Ok(Check::ALL.into_iter().zip(counts).map(|(check, rows)| Suspicion { check, rows }).collect())
    }
}
