//! The headers of tables.

use crate::cell::is_unit;
use crate::column::Column;
use crate::fold::fold_header;
use crate::market::Market;

/// What a header of a table means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The column.
    pub column: Column,
    /// The rank of the header among those of the column; its name is the first.
    pub rank: usize,
    /// The unit in the header, which applies to cells without one: `тыс. км` of `Пробег, тыс. км`.
    pub unit: Option<String>,
}

impl Heading {
    /// The meaning of a header in a market, in any case and spacing, with or without a unit.
    #[must_use]
    pub fn of(header: &str, market: &Market) -> Option<Self> {
        if let Some((column, rank)) = market.column_of(header) {
            return Some(Self { column, rank, unit: None });
        }
        let folded = fold_header(header);
        let mut ends = folded.rmatch_indices([' ', ',', '(', '[']);
        let with_unit = |(end, _)| {
            let is_mark = |c: char| matches!(c, ' ' | ',' | '(' | ')' | '[' | ']');
            let (column, rank) = market.column_of(folded[..end].trim_end_matches(is_mark))?;
            let unit = folded[end..].trim_matches(is_mark);
            let unit = unit.strip_prefix("in ").or(unit.strip_prefix("в ")).unwrap_or(unit);
            is_unit(column, unit, market).then(|| Self { column, rank, unit: Some(unit.to_owned()) })
        };
        ends.find_map(with_unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(name: &str) -> &'static Market {
        Market::built_in().iter().find(|market| market.name() == name).unwrap()
    }

    #[test]
    fn headers_are_recognized_in_any_spelling_and_with_a_unit() {
        for (name, header, column, unit) in [
            ("ru", "  Год   Выпуска ", Column::Year, None),
            ("ru", "ОБЪЁМ", Column::EngineVolume, None),
            ("ru", "Vehicle Generation", Column::VehicleGeneration, None),
            ("ru", "л.с.", Column::EnginePower, None),
            ("ru", "\u{feff}brand", Column::Brand, None),
            ("ru", "Пробег, тыс. км", Column::Mileage, Some("тыс. км")),
            ("ru", "Пробег (км)", Column::Mileage, Some("км")),
            ("ru", "Цена, тыс. руб.", Column::Price, Some("тыс. руб.")),
            ("ru", "Двигатель, л", Column::EngineVolume, None),
            ("ru", "Объём двигателя (см³)", Column::EngineVolume, Some("см³")),
            ("ru", "Тип КПП", Column::Transmission, None),
            ("de", "Erstzulassung", Column::Year, None),
            ("de", "Leistung (kW)", Column::EnginePower, Some("kw")),
            ("de", "Leistung in PS", Column::EnginePower, Some("ps")),
            ("de", "Preis [€]", Column::Price, Some("€")),
            ("gb", "engine_power_kw", Column::EnginePower, Some("kw")),
            ("gb", "Mileage (km)", Column::Mileage, Some("km")),
            ("gb", "Asking price £", Column::Price, Some("£")),
            ("us", "Title status", Column::Pts, None),
        ] {
            let heading = Heading::of(header, market(name)).unwrap_or_else(|| panic!("{name}: {header}"));
            assert_eq!((heading.column, heading.unit.as_deref()), (column, unit), "{name}: {header}");
        }
        for (name, header) in [("ru", "комментарий"), ("ru", "Price (£)"), ("gb", "price per month"), ("ru", "")]
        {
            assert_eq!(Heading::of(header, market(name)), None, "{name}: {header}");
        }
    }
}
