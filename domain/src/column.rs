//! The columns of a listing, defined once for import, training, serving and documentation.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::fold::fold_header;

/// A column of a listing, in display order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    pub const ALL: [Self; 20] = [
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
    ];

    /// The columns that every valuation requires.
    pub const REQUIRED: [Self; 3] = [Self::Brand, Self::Year, Self::Mileage];

    /// All columns except the price.
    #[must_use]
    pub fn descriptive() -> &'static [Self] {
        &Self::ALL[..Self::ALL.len() - 1]
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
        }
    }

    /// The type of the column and its bounds. The upper bound of the year depends on the current one: see
    /// [`Column::bounds`].
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Year => Kind::Integer { min: MIN_YEAR, max: 2100.0 },
            Self::Mileage => Kind::Integer { min: 0.0, max: 2_000_000.0 },
            Self::EngineVolume => Kind::Decimal { min: 0.0, max: 20.0 },
            Self::EnginePower => Kind::Decimal { min: 0.0, max: 3000.0 },
            Self::OwnersCount => Kind::Integer { min: 0.0, max: 50.0 },
            Self::Price => Kind::Decimal { min: 1.0, max: MAX_PRICE },
            Self::ListingDate => Kind::Date,
            _ => Kind::Text,
        }
    }

    /// The unit of a number; empty if there is none.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Mileage => "km",
            Self::EngineVolume => "litres",
            Self::EnginePower => "hp",
            Self::ListingDate => "days since 1970-01-01",
            Self::Price => "RUB",
            _ => "",
        }
    }

    /// Alternative table headers of the column.
    #[must_use]
    pub fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Brand => &["марка"],
            Self::Model => &["модель"],
            Self::VehicleGeneration => &["поколение"],
            Self::Year => &["год", "год выпуска"],
            Self::Mileage => &["пробег", "пробег, км", "пробег (км)"],
            Self::BodyType => &["кузов", "тип кузова"],
            Self::FuelType => &["топливо", "тип двигателя"],
            Self::EngineVolume => &["объём", "объем двигателя", "объем двигателя, л", "объем, л"],
            Self::EnginePower => &["мощность", "л.с.", "мощность, л.с.", "мощность, л. с."],
            Self::Transmission => &["коробка", "кпп", "коробка передач"],
            Self::Drive => &["привод"],
            Self::Wheel => &["руль"],
            Self::State => &["состояние"],
            Self::OwnersCount => &["владельцы", "владельцев"],
            Self::Pts => &["птс"],
            Self::Customs => &["таможня", "растаможен"],
            Self::Region => &["регион", "город"],
            Self::Color => &["цвет"],
            Self::ListingDate => &["дата", "дата объявления"],
            Self::Price => &["цена", "стоимость", "цена, руб.", "цена, руб"],
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
            Self::Mileage => "Mileage in kilometres",
            Self::BodyType => "Body type",
            Self::FuelType => "Fuel",
            Self::EngineVolume => "Engine displacement in litres",
            Self::EnginePower => "Engine power in horsepower",
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
        }
    }

    /// The display unit of a number, in Russian and in English; empty if there is none.
    #[must_use]
    pub fn unit_label(self) -> (&'static str, &'static str) {
        match self {
            Self::Mileage => ("км", "km"),
            Self::EngineVolume => ("л", "l"),
            Self::EnginePower => ("л.\u{a0}с.", "hp"),
            Self::Price => ("₽", "₽"),
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
            Self::Price => "1350000",
        }
    }

    /// The column with this exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// The column of a table header: its name or one of its alternatives, in any case and spacing, with `_` or spaces
    /// between words.
    #[must_use]
    pub fn from_header(header: &str) -> Option<Self> {
        static BY_HEADER: LazyLock<HashMap<String, Column>> = LazyLock::new(|| {
            let mut columns = HashMap::new();
            for column in Column::ALL {
                for header in [column.name()].iter().chain(column.headers()) {
                    columns.entry(fold_header(header)).or_insert(column);
                }
            }
            columns
        });
        BY_HEADER.get(&fold_header(header)).copied()
    }

    /// The rank of a header among those of the column, where the name ranks first. `None` if it is not a header of the
    /// column.
    #[must_use]
    pub fn header_rank(self, header: &str) -> Option<usize> {
        let header = fold_header(header);
        let mut known = std::iter::once(self.name()).chain(self.headers().iter().copied());
        known.position(|known| fold_header(known) == header)
    }

    /// The bounds of a number in the current year; `None` for text and dates.
    #[must_use]
    pub fn bounds(self, current_year: i32) -> Option<(f64, f64)> {
        match self.kind() {
            Kind::Integer { min, .. } if self == Self::Year => Some((min, f64::from(current_year) + 1.0)),
            Kind::Integer { min, max } | Kind::Decimal { min, max } => Some((min, max)),
            Kind::Text | Kind::Date => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_match_in_any_spelling() {
        for (header, column) in [
            ("  Год   Выпуска ", Column::Year),
            ("ОБЪЕМ", Column::EngineVolume),
            ("объём", Column::EngineVolume),
            ("Vehicle Generation", Column::VehicleGeneration),
            ("л.с.", Column::EnginePower),
            ("\u{feff}brand", Column::Brand),
        ] {
            assert_eq!(Column::from_header(header), Some(column), "{header}");
        }
        assert_eq!(Column::from_header("комментарий"), None);
    }

    #[test]
    fn column_names_match_their_json_form() {
        for column in Column::ALL {
            assert_eq!(serde_json::to_value(column).unwrap(), column.name());
        }
    }

    #[test]
    fn headers_are_unambiguous() {
        let mut seen = std::collections::HashMap::new();
        for column in Column::ALL {
            for header in column.headers().iter().chain([&column.name()]) {
                assert_eq!(seen.insert(fold_header(header), column), None, "{header}");
            }
        }
    }
}
