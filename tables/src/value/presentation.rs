//! How results are written for people, in the language of the sheet.

use domain::{Column, Language};

use crate::header::Header;

/// How to write the results of a table for people; without it they are written for programs, under fixed English names and to
/// the unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Presentation {
    /// The language; by default that of the headers.
    pub language: Option<Language>,
    /// The unit of the results, such as a currency sign.
    pub unit: String,
    /// The target of the model, whose listed value is compared if the table has it.
    pub target: Column,
    /// What valued the cars, such as `version 12`.
    pub model: String,
}

impl Presentation {
    /// The language of the results of a table; by default that of most of its recognized headers.
    pub(super) fn language_of(&self, header: &Header) -> Language {
        let is_cyrillic = |c: char| ('\u{400}'..='\u{4ff}').contains(&c);
        let recognized: Vec<&str> =
            header.columns().flat_map(|(_, indices)| indices).map(|index| header.headers[*index].as_str()).collect();
        let cyrillic = recognized.iter().filter(|header| header.contains(is_cyrillic)).count();
        let of_headers = if 2 * cyrillic > recognized.len() { Language::Russian } else { Language::English };
        self.language.unwrap_or(of_headers)
    }

    /// The headers of the results, and the width of their columns: the price and its range, the status, and the difference of
    /// the listed price if the table has one.
    pub(super) fn headers(&self, language: Language, has_listed: bool) -> Vec<(String, u32)> {
        let with_unit = |texts| match self.unit.as_str() {
            "" => language.of_both(texts).to_owned(),
            unit => format!("{}, {unit}", language.of_both(texts)),
        };
        let mut headers = vec![
            (with_unit(("Оценка", "Estimate")), 15),
            (with_unit(("Оценка от", "Estimate from")), 15),
            (with_unit(("Оценка до", "Estimate to")), 15),
            (language.of_both(("Статус оценки", "Estimate status")).to_owned(), 40),
        ];
        if has_listed {
            headers.push((with_unit(("Цена минус оценка", "Price minus estimate")), 20));
        }
        headers
    }
}

/// Rounds a price and its range to what the model knows: to a power of ten that is at most a tenth of the range.
pub(super) fn rounded(prices: [f64; 3]) -> [f64; 3] {
    let [_, low, high] = prices;
    let step = 10_f64.powf(((high - low) / 10.0).max(1.0).log10().floor());
    prices.map(|price| (price / step).round() * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_rounded_by_their_range() {
        let is = |prices: [f64; 3], expected: [f64; 3]| {
            let difference = rounded(prices).into_iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(difference < 1e-6, "{:?}", rounded(prices));
        };
        is([1_234_567.0, 1_080_000.0, 1_391_234.0], [1_230_000.0, 1_080_000.0, 1_390_000.0]);
        is([12_345.6, 12_300.0, 12_390.0], [12_346.0, 12_300.0, 12_390.0]);
        is([21.4, 9.6, 40.0], [21.0, 10.0, 40.0]);
    }
}
