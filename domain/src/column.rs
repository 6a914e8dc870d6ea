//! The columns of a listing, defined once for import, training, serving and documentation.

use serde::{Deserialize, Serialize};

/// A column of a listing, in display order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is documented by `Column::description`")]
pub enum Column {
    Brand,
    Model,
    VehicleGeneration,
    Year,
    Mileage,
    BodyType,
    FuelType,
    EngineVolume,
    EnginePower,
    Transmission,
    Drive,
    Wheel,
    State,
    OwnersCount,
    Pts,
    Customs,
    Region,
    Color,
    ListingDate,
    Price,
    SalePrice,
    DaysListed,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Free text, compared after folding.
    Text,
    /// A whole number within inclusive bounds.
    Integer {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
    },
    /// A number within inclusive bounds.
    Decimal {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
    },
    /// A calendar day.
    Date,
}

/// Minimum year of manufacture.
pub const MIN_YEAR: f64 = 1900.0;
/// Maximum price; anything above is a typo.
pub const MAX_PRICE: f64 = 10_000_000_000.0;
/// Maximum length of a text cell, in characters.
pub const MAX_TEXT_CHARS: usize = 200;

impl Column {
    /// Every column, in order.
    pub const ALL: [Self; 22] = [
        Self::Brand,
        Self::Model,
        Self::VehicleGeneration,
        Self::Year,
        Self::Mileage,
        Self::BodyType,
        Self::FuelType,
        Self::EngineVolume,
        Self::EnginePower,
        Self::Transmission,
        Self::Drive,
        Self::Wheel,
        Self::State,
        Self::OwnersCount,
        Self::Pts,
        Self::Customs,
        Self::Region,
        Self::Color,
        Self::ListingDate,
        Self::Price,
        Self::SalePrice,
        Self::DaysListed,
    ];

    /// The columns that a model may predict. Every listing has the first; the others are known for some.
    pub const TARGETS: [Self; 3] = [Self::Price, Self::SalePrice, Self::DaysListed];

    /// The columns that every valuation requires.
    pub const REQUIRED: [Self; 3] = [Self::Brand, Self::Year, Self::Mileage];

    /// All columns except the targets.
    #[must_use]
    pub fn descriptive() -> &'static [Self] {
        &Self::ALL[..Self::ALL.len() - Self::TARGETS.len()]
    }

    /// Whether the column is an amount of money.
    #[must_use]
    pub fn is_money(self) -> bool {
        matches!(self, Self::Price | Self::SalePrice)
    }

    /// The name used in tables, JSON and the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Brand => "brand",
            Self::Model => "model",
            Self::VehicleGeneration => "vehicle_generation",
            Self::Year => "year",
            Self::Mileage => "mileage",
            Self::BodyType => "body_type",
            Self::FuelType => "fuel_type",
            Self::EngineVolume => "engine_volume",
            Self::EnginePower => "engine_power",
            Self::Transmission => "transmission",
            Self::Drive => "drive",
            Self::Wheel => "wheel",
            Self::State => "state",
            Self::OwnersCount => "owners_count",
            Self::Pts => "pts",
            Self::Customs => "customs",
            Self::Region => "region",
            Self::Color => "color",
            Self::ListingDate => "listing_date",
            Self::Price => "price",
            Self::SalePrice => "sale_price",
            Self::DaysListed => "days_listed",
        }
    }

    /// The type of the column and its widest bounds. Those of the year and of money are narrower: see
    /// [`Reading::bounds`](crate::market::Reading::bounds).
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Year => Kind::Integer { min: MIN_YEAR, max: 2100.0 },
            Self::Mileage => Kind::Integer { min: 0.0, max: 2_000_000.0 },
            Self::EngineVolume => Kind::Decimal { min: 0.0, max: 20.0 },
            Self::EnginePower => Kind::Decimal { min: 0.0, max: 3000.0 },
            Self::OwnersCount => Kind::Integer { min: 0.0, max: 50.0 },
            Self::Price | Self::SalePrice => Kind::Decimal { min: 1.0, max: MAX_PRICE },
            Self::DaysListed => Kind::Integer { min: 0.0, max: 3650.0 },
            Self::ListingDate => Kind::Date,
            _ => Kind::Text,
        }
    }

    /// The unit of a stored number; empty if there is none, or if it is the currency of the market.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Mileage => "km",
            Self::EngineVolume => "litres",
            Self::EnginePower => "hp",
            Self::ListingDate => "days since 1970-01-01",
            Self::DaysListed => "days",
            _ => "",
        }
    }

    /// A one-line description for documentation and templates.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Brand => "Make of the car",
            Self::Model => "Model, as named by the make",
            Self::VehicleGeneration => "Generation or restyling of the model",
            Self::Year => "Year of manufacture, 1900 to next year",
            Self::Mileage => "Mileage",
            Self::BodyType => "Body type",
            Self::FuelType => "Fuel",
            Self::EngineVolume => "Engine displacement",
            Self::EnginePower => "Engine power",
            Self::Transmission => "Gearbox",
            Self::Drive => "Driven wheels",
            Self::Wheel => "Side of the steering wheel",
            Self::State => "Condition",
            Self::OwnersCount => "Number of owners in the registration document; 4 means four or more",
            Self::Pts => "Registration document: original or duplicate",
            Self::Customs => "Customs status",
            Self::Region => "Region or city of sale",
            Self::Color => "Colour",
            Self::ListingDate => "Date of the listing; a valuation without one is for today",
            Self::Price => "Asking price",
            Self::SalePrice => "What the car was sold for",
            Self::DaysListed => "For how many days the car was listed",
        }
    }

    /// The display name, in Russian and in English.
    #[must_use]
    pub fn label(self) -> (&'static str, &'static str) {
        match self {
            Self::Brand => ("марка", "make"),
            Self::Model => ("модель", "model"),
            Self::VehicleGeneration => ("поколение", "generation"),
            Self::Year => ("год выпуска", "year"),
            Self::Mileage => ("пробег", "mileage"),
            Self::BodyType => ("кузов", "body"),
            Self::FuelType => ("топливо", "fuel"),
            Self::EngineVolume => ("объём двигателя", "engine volume"),
            Self::EnginePower => ("мощность", "engine power"),
            Self::Transmission => ("коробка передач", "gearbox"),
            Self::Drive => ("привод", "driven wheels"),
            Self::Wheel => ("руль", "steering wheel"),
            Self::State => ("состояние", "condition"),
            Self::OwnersCount => ("число владельцев", "owners"),
            Self::Pts => ("ПТС", "registration document"),
            Self::Customs => ("таможня", "customs"),
            Self::Region => ("регион", "region"),
            Self::Color => ("цвет", "colour"),
            Self::ListingDate => ("дата объявления", "listing date"),
            Self::Price => ("цена", "price"),
            Self::SalePrice => ("цена продажи", "sale price"),
            Self::DaysListed => ("дней в продаже", "days listed"),
        }
    }

    /// The display unit of a stored number, in Russian and in English; empty if there is none, or if it is the currency of the
    /// market.
    #[must_use]
    pub fn unit_label(self) -> (&'static str, &'static str) {
        match self {
            Self::Mileage => ("км", "km"),
            Self::EngineVolume => ("л", "l"),
            Self::EnginePower => ("л.\u{a0}с.", "hp"),
            Self::DaysListed => ("дн.", "days"),
            _ => ("", ""),
        }
    }

    /// An example value for documentation and templates, as text.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Brand => "Kia",
            Self::Model => "Rio",
            Self::VehicleGeneration => "IV",
            Self::Year => "2018",
            Self::Mileage => "83000",
            Self::BodyType => "седан",
            Self::FuelType => "Бензин",
            Self::EngineVolume => "1.6",
            Self::EnginePower => "123",
            Self::Transmission => "автоматическая",
            Self::Drive => "передний",
            Self::Wheel => "Левый",
            Self::State => "Не требует ремонта",
            Self::OwnersCount => "1",
            Self::Pts => "Оригинал",
            Self::Customs => "Растаможен",
            Self::Region => "Москва",
            Self::Color => "белый",
            Self::ListingDate => "2026-03-17",
            Self::Price | Self::SalePrice => "1350000",
            Self::DaysListed => "21",
        }
    }

    /// The column with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_match_their_json_form() {
        for column in Column::ALL {
            assert_eq!(serde_json::to_value(column).unwrap(), column.name());
        }
    }
}
