//! How results are written for people, in the language of the sheet.

use domain::Column;

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

/// A language of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// English.
    English,
    /// Russian.
    Russian,
}

impl Language {
    /// The language of a header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let is_cyrillic = |c: char| ('\u{400}'..='\u{4ff}').contains(&c);
        let (mut cyrillic, mut recognized) = (0, 0);
        for index in header.columns().flat_map(|(_, indices)| indices) {
            recognized += 1;
            cyrillic += usize::from(header.headers[*index].contains(is_cyrillic));
        }
        if 2 * cyrillic > recognized { Self::Russian } else { Self::English }
    }

    /// One of two texts, in Russian and in English.
    pub(crate) fn of_both<'t>(self, (russian, english): (&'t str, &'t str)) -> &'t str {
        match self {
            Self::English => english,
            Self::Russian => russian,
        }
    }
}

impl Presentation {
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
