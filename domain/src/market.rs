//! Markets: the money, the units and the spellings of a country's listings.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::column::{Column, Kind, MAX_PRICE};
use crate::fold::{fold, fold_header, plain_header};

/// Kilometres per mile.
const KM_PER_MILE: f64 = 1.609_344;
/// The files of the built-in markets.
const BUILT_IN: [&str; 4] = [
    include_str!("../markets/ru.toml"),
    include_str!("../markets/gb.toml"),
    include_str!("../markets/de.toml"),
    include_str!("../markets/us.toml"),
];

/// A market with its spellings ready for lookup. Clones are cheap.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Definition", into = "Definition")]
pub struct Market(Arc<Lookup>);

#[derive(Debug)]
struct Lookup {
    definition: Definition,
    /// By folded header: its column, and its rank among the headers of that column.
    headers: HashMap<String, (Column, usize)>,
    /// The same by the words of the header, if these denote only one column.
    plain_headers: HashMap<String, (Column, usize)>,
    /// By column: folded spelling to canonical form.
    canonical: HashMap<Column, HashMap<String, String>>,
}

/// A market as defined by a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// A short name, such as `gb`.
    pub name: String,
    /// The ISO 4217 code of the currency.
    pub currency: String,
    /// The sign of the currency.
    pub symbol: String,
    /// How the currency is spelled in cells, folded, without dots and spaces.
    pub currency_spellings: Vec<String>,
    /// The unit of mileages.
    pub distance: Distance,
    /// The ISO 639-1 code of the language.
    pub language: String,
    /// How decimals are written: resolves numbers such as `150.000`, which are otherwise rejected as ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_separator: Option<char>,
    /// The lowest and the highest accepted price.
    pub prices: [f64; 2],
    /// Where the median price of a file should be.
    pub median_price: [f64; 2],
    /// Where the median mileage per year of age should be, in the unit of distance.
    pub annual_mileage: [f64; 2],
    /// By column: its headers besides its name. A header that is the name of another column takes precedence over it.
    #[serde(default)]
    pub headers: BTreeMap<Column, Vec<String>>,
    /// By column: canonical values, each with its other spellings.
    #[serde(default)]
    pub values: BTreeMap<Column, BTreeMap<String, Vec<String>>>,
}

/// A unit of distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// Kilometres.
    Km,
    /// Miles.
    Miles,
}

impl Distance {
    /// The length of the unit in kilometres.
    #[must_use]
    pub fn kilometres(self) -> f64 {
        match self {
            Self::Km => 1.0,
            Self::Miles => KM_PER_MILE,
        }
    }
}

/// Why a definition is rejected.
#[derive(Debug, thiserror::Error)]
pub enum MarketError {
    /// Not TOML, or a missing, unknown or mistyped key.
    #[error("the market cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A key with an unusable value.
    #[error("`{key}` of the market must be {expected}, but is {value:?}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// The range has no numbers, or the median price is outside the accepted prices.
    #[error("`{key}` of the market must be a range of positive numbers, the lower one first{}", inside(key))]
    Range {
        /// The key.
        key: &'static str,
    },
    /// A header that denotes two columns.
    #[error("the header {header:?} stands for both {} and {}", .columns[0].name(), .columns[1].name())]
    Header {
        /// The header, folded.
        header: String,
        /// Both columns.
        columns: [Column; 2],
    },
    /// A spelling with two meanings.
    #[error("the {} {word:?} means both {:?} and {:?}", .column.name(), .meanings[0], .meanings[1])]
    Spelling {
        /// The column.
        column: Column,
        /// The spelling, folded.
        word: String,
        /// Both canonical values.
        meanings: [String; 2],
    },
    /// Values of a column that is not text.
    #[error("`values.{}`: only text columns have spellings", .0.name())]
    NotText(Column),
}

fn inside(key: &str) -> &'static str {
    if key == "median_price" { ", within `prices`" } else { "" }
}

/// How cells are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'m> {
    /// The market that the table is from.
    pub market: &'m Market,
    /// The current year, which bounds the year of manufacture.
    pub year: i32,
}

impl Market {
    /// The built-in markets.
    ///
    /// # Panics
    /// Never: tests read every built-in file.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the files are part of the program, and tests read every one")]
    pub fn built_in() -> &'static [Self] {
        static MARKETS: LazyLock<Vec<Market>> = LazyLock::new(|| {
            BUILT_IN.iter().map(|file| Market::from_toml(file).expect("a built-in market is valid")).collect()
        });
        &MARKETS
    }

    /// The market of listings that were stored, and of models that were trained, before there were others.
    #[must_use]
    pub fn russia() -> &'static Self {
        &Self::built_in()[0]
    }

    /// Reads a definition.
    ///
    /// # Errors
    /// It is not valid TOML, lacks a key, or contradicts itself.
    pub fn from_toml(file: &str) -> Result<Self, MarketError> {
        toml::from_str::<Definition>(file)?.try_into()
    }

    /// The definition.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.0.definition
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition().name
    }

    /// The ISO 4217 code of the currency.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.definition().currency
    }

    /// The unit in which a number of the column is written; empty if there is none.
    #[must_use]
    pub fn unit(&self, column: Column) -> &str {
        match column {
            Column::Mileage if self.definition().distance == Distance::Miles => "miles",
            column if column.is_money() => self.currency(),
            column => column.unit(),
        }
    }

    /// The display unit of a number of the column, in Russian and in English.
    #[must_use]
    pub fn unit_label(&self, column: Column) -> (&str, &str) {
        match column {
            Column::Mileage if self.definition().distance == Distance::Miles => ("миль", "miles"),
            column if column.is_money() => (&self.definition().symbol, &self.definition().symbol),
            column => column.unit_label(),
        }
    }

    /// Converts a number in the unit of the market to the stored unit.
    #[must_use]
    pub fn to_stored(&self, column: Column, number: f64) -> f64 {
        if self.has_miles(column) { (number * KM_PER_MILE).round() } else { number }
    }

    /// Converts a stored number to the unit of the market.
    #[must_use]
    pub fn to_shown(&self, column: Column, number: f64) -> f64 {
        if self.has_miles(column) { (number / KM_PER_MILE).round() } else { number }
    }

    fn has_miles(&self, column: Column) -> bool {
        column == Column::Mileage && self.definition().distance == Distance::Miles
    }

    /// The headers of a column besides its name.
    #[must_use]
    pub fn headers(&self, column: Column) -> &[String] {
        self.definition().headers.get(&column).map_or(&[], Vec::as_slice)
    }

    /// The column of a header, in any case and spacing, with `_` or spaces between words, and the rank of the header among those of
    /// the column, whose name is the first.
    #[must_use]
    pub fn column_of(&self, header: &str) -> Option<(Column, usize)> {
        self.0.headers.get(&fold_header(header)).copied()
    }

    /// The same by the words of the header alone: see [`plain_header`].
    pub(crate) fn column_of_words(&self, words: &str) -> Option<(Column, usize)> {
        self.0.plain_headers.get(words).copied()
    }

    /// The canonical form of a text, used for storage and lookup: folded, with other spellings replaced.
    #[must_use]
    pub fn canonical(&self, column: Column, text: &str) -> String {
        let folded = fold(text);
        let known = self.0.canonical.get(&column).and_then(|spellings| spellings.get(&folded));
        known.cloned().unwrap_or(folded)
    }

    /// Whether a text is a known value or spelling of the column.
    #[must_use]
    pub fn knows(&self, column: Column, text: &str) -> bool {
        let canonical = self.canonical(column, text);
        self.definition().values.get(&column).is_some_and(|values| values.contains_key(&canonical))
    }

    /// The only value of the column that an abbreviation such as "механ." can mean; `None` for a text that is no abbreviation.
    #[must_use]
    pub fn abbreviated(&self, column: Column, text: &str) -> Option<&str> {
        // Hardly any text is one, and each text of each row is asked about.
        if !text.trim_end().ends_with('.') {
            return None;
        }
        let folded = fold(text);
        let beginning = folded.strip_suffix('.').filter(|beginning| beginning.chars().count() > 1)?;
        if self.knows(column, text) {
            return None;
        }
        let is_meant = |word: &String| {
            let word = fold(word);
            word.starts_with(beginning) && word.chars().all(char::is_alphabetic)
        };
        let values = self.definition().values.get(&column)?.iter();
        let mut meant = values.filter(|(value, others)| is_meant(value) || others.iter().any(is_meant));
        let (value, _) = meant.next()?;
        meant.next().is_none().then_some(value.as_str())
    }

    /// By column: folded spelling to folded canonical value.
    #[must_use]
    pub fn synonyms(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let columns = self.0.canonical.iter().filter(|(_, spellings)| !spellings.is_empty());
        columns
            .map(|(column, spellings)| {
                (
                    column.name().to_owned(),
                    spellings.iter().map(|(word, value)| (word.clone(), value.clone())).collect(),
                )
            })
            .collect()
    }

    /// An amount of money with its sign, in whole units: `£12,400`, `1 250 000 ₽`.
    #[must_use]
    pub fn money(&self, amount: f64) -> String {
        let Definition { language, symbol, .. } = self.definition();
        let (separator, is_prefix) = match language.as_str() {
            "ru" => ('\u{a0}', false),
            "de" => ('.', false),
            _ => (',', true),
        };
        let digits = format!("{:.0}", amount.abs());
        let groups: Vec<Cow<'_, str>> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        let number = groups.join(&separator.to_string());
        let sign = if amount <= -0.5 { "\u{2212}" } else { "" };
        if is_prefix { format!("{sign}{symbol}{number}") } else { format!("{sign}{number}\u{a0}{symbol}") }
    }
}

impl Reading<'_> {
    /// The bounds of a stored number; `None` for text and dates.
    #[must_use]
    pub fn bounds(&self, column: Column) -> Option<(f64, f64)> {
        match column.kind() {
            Kind::Integer { min, .. } if column == Column::Year => Some((min, f64::from(self.year) + 1.0)),
            _ if column.is_money() => Some(self.market.definition().prices.into()),
            Kind::Integer { min, max } | Kind::Decimal { min, max } => Some((min, max)),
            Kind::Text | Kind::Date => None,
        }
    }

    /// The same in the unit in which the number is written.
    #[must_use]
    pub fn shown_bounds(&self, column: Column) -> Option<(f64, f64)> {
        let shown = |number| self.market.to_shown(column, number);
        self.bounds(column).map(|(min, max)| (shown(min), shown(max)))
    }
}

impl PartialEq for Market {
    fn eq(&self, other: &Self) -> bool {
        self.definition() == other.definition()
    }
}

impl From<Market> for Definition {
    fn from(market: Market) -> Self {
        market.definition().clone()
    }
}

impl TryFrom<Definition> for Market {
    type Error = MarketError;

    fn try_from(definition: Definition) -> Result<Self, MarketError> {
        definition.check()?;
        let (headers, canonical) = (definition.header_lookup()?, definition.value_lookup()?);
        let plain_headers = plain_headers(&headers);
        Ok(Self(Arc::new(Lookup { definition, headers, plain_headers, canonical })))
    }
}

impl Definition {
    fn check(&self) -> Result<(), MarketError> {
        let require = |key, expected, value: &str, holds| {
            if holds { Ok(()) } else { Err(MarketError::Invalid { key, expected, value: value.to_owned() }) }
        };
        let is_name = |name: &str| {
            (1..=20).contains(&name.len())
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        require("name", "a word of at most 20 lower-case letters and digits", &self.name, is_name(&self.name))?;
        let is_code = self.currency.len() == 3 && self.currency.bytes().all(|byte| byte.is_ascii_uppercase());
        require("currency", "an ISO 4217 code such as EUR", &self.currency, is_code)?;
        let has_symbol = (1..=8).contains(&self.symbol.chars().count());
        require("symbol", "the sign of the currency, of 1 to 8 characters", &self.symbol, has_symbol)?;
        let is_language = self.language.len() == 2 && self.language.bytes().all(|byte| byte.is_ascii_lowercase());
        require("language", "an ISO 639-1 code such as de", &self.language, is_language)?;
        let separator = self.decimal_separator.unwrap_or('.');
        require("decimal_separator", "\".\" or \",\"", &separator.to_string(), matches!(separator, '.' | ','))?;
        let is_range = |[low, high]: [f64; 2]| low > 0.0 && low < high && high <= MAX_PRICE;
        for (key, range) in
            [("prices", self.prices), ("median_price", self.median_price), ("annual_mileage", self.annual_mileage)]
        {
            if !is_range(range) {
                return Err(MarketError::Range { key });
            }
        }
        if self.median_price[0] < self.prices[0] || self.median_price[1] > self.prices[1] {
            return Err(MarketError::Range { key: "median_price" });
        }
        Ok(())
    }

    fn header_lookup(&self) -> Result<HashMap<String, (Column, usize)>, MarketError> {
        let mut headers: HashMap<String, (Column, usize)> = HashMap::new();
        for (&column, listed) in &self.headers {
            for (rank, header) in (1..).zip(listed) {
                let header = fold_header(header);
                match headers.get(&header) {
                    Some(&(other, _)) if other != column => {
                        return Err(MarketError::Header { header, columns: [other, column] });
                    }
                    Some(_) => {}
                    None => drop(headers.insert(header, (column, rank))),
                }
            }
        }
        for column in Column::ALL {
            headers.entry(fold_header(column.name())).or_insert((column, 0));
            let (russian, english) = column.label();
            for label in [russian, english] {
                headers
                    .entry(fold_header(label))
                    .or_insert((column, self.headers.get(&column).map_or(1, Vec::len) + 1));
            }
        }
        Ok(headers)
    }

    fn value_lookup(&self) -> Result<HashMap<Column, HashMap<String, String>>, MarketError> {
        let mut columns = HashMap::new();
        for (&column, values) in &self.values {
            if column.kind() != Kind::Text {
                return Err(MarketError::NotText(column));
            }
            let mut spellings: HashMap<String, String> = HashMap::new();
            for (value, others) in values {
                let value = fold(value);
                for word in others.iter().map(|word| fold(word)).filter(|word| *word != value) {
                    if let Some(other) = spellings.insert(word.clone(), value.clone()).filter(|other| *other != value) {
                        return Err(MarketError::Spelling { column, word, meanings: [other, value] });
                    }
                }
            }
            // One step must lead to the canonical form.
            for value in values.keys().map(|value| fold(value)) {
                if let Some(other) = spellings.get(&value) {
                    let meanings = [value.clone(), other.clone()];
                    return Err(MarketError::Spelling { column, word: value, meanings });
                }
            }
            columns.insert(column, spellings);
        }
        Ok(columns)
    }
}

/// Headers by their words, without those whose words denote several columns.
fn plain_headers(headers: &HashMap<String, (Column, usize)>) -> HashMap<String, (Column, usize)> {
    let mut plain: HashMap<String, Option<(Column, usize)>> = HashMap::new();
    for (header, &(column, rank)) in headers {
        let words = plain_header(header);
        let best = plain.entry(words).or_insert(Some((column, rank)));
        *best = best.filter(|(other, _)| *other == column).map(|(_, other)| (column, other.min(rank)));
    }
    plain
        .into_iter()
        .filter_map(|(words, meaning)| Some((words, meaning?)))
        .filter(|(words, _)| !words.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(name: &str) -> &'static Market {
        Market::built_in().iter().find(|market| market.name() == name).unwrap()
    }

    fn with(change: impl FnOnce(&mut Definition)) -> Result<Market, MarketError> {
        let mut definition = market("gb").definition().clone();
        change(&mut definition);
        definition.try_into()
    }

    #[test]
    fn abbreviations_stand_for_the_only_value_that_they_can_mean() {
        for (column, text, expected) in [
            (Column::Transmission, "Механ.", Some("механическая")),
            (Column::Transmission, "авт.", Some("автоматическая")),
            (Column::FuelType, "бенз.", Some("бензин")),
            (Column::Drive, "пер.", Some("передний")),
            (Column::Wheel, "прав.", Some("правый")),
            (Column::Color, "сереб.", Some("серебристый")),
            // Grey or silver.
            (Column::Color, "сер.", None),
            (Column::Color, "б.", None),
            (Column::Transmission, "механ", None),
            (Column::BodyType, "внедорожник 5 дв.", None),
            (Column::Region, "обл.", None),
        ] {
            assert_eq!(Market::russia().abbreviated(column, text), expected, "{text}");
        }
    }

    #[test]
    fn built_in_markets_are_read_and_survive_a_round_trip() {
        assert_eq!(Market::built_in().iter().map(Market::name).collect::<Vec<_>>(), ["ru", "gb", "de", "us"]);
        for market in Market::built_in() {
            let json = serde_json::to_string(market).unwrap();
            assert_eq!(&serde_json::from_str::<Market>(&json).unwrap(), market);
            let toml = toml::to_string(market.definition()).unwrap();
            assert_eq!(&Market::from_toml(&toml).unwrap(), market);
        }
    }

    #[test]
    fn values_resolve_in_one_step() {
        for market in Market::built_in() {
            for (column, values) in &market.definition().values {
                for (value, spellings) in values {
                    assert_eq!(fold(value), *value);
                    assert_eq!(market.canonical(*column, value), *value);
                    for spelling in spellings {
                        assert_eq!(fold(spelling), *spelling);
                        assert_eq!(market.canonical(*column, spelling), *value);
                        assert!(market.knows(*column, spelling));
                    }
                }
            }
        }
        assert_eq!(Market::russia().canonical(Column::Transmission, " АКПП "), "автоматическая");
        assert_eq!(Market::russia().canonical(Column::Brand, "Лада"), "lada (ваз)");
        assert_eq!(Market::russia().canonical(Column::Color, "Чёрный"), "черный");
        assert_eq!(market("de").canonical(Column::Transmission, "Schaltgetriebe"), "schaltgetriebe");
        assert!(!market("de").knows(Column::FuelType, "Бензин"));
    }

    #[test]
    fn miles_become_kilometres_and_back() {
        for miles in 0..300_000 {
            let stored = market("gb").to_stored(Column::Mileage, f64::from(miles));
            assert_eq!(Some(market("gb").to_shown(Column::Mileage, stored)), Some(f64::from(miles)));
        }
        assert_eq!(Some(market("de").to_stored(Column::Mileage, 62_000.0)), Some(62_000.0));
        assert_eq!(Some(market("gb").to_stored(Column::Year, 2016.0)), Some(2016.0));
    }

    #[test]
    fn money_is_written_as_in_its_country() {
        assert_eq!(market("gb").money(12_400.4), "£12,400");
        assert_eq!(market("de").money(-1_012_400.0), "\u{2212}1.012.400\u{a0}€");
        assert_eq!(Market::russia().money(950.0), "950\u{a0}₽");
    }

    #[test]
    fn invalid_definitions_are_rejected_by_name() {
        let gb = toml::to_string(market("gb").definition()).unwrap();
        let message = |file: &str| Market::from_toml(file).unwrap_err().to_string();
        assert!(message(&gb.replace("currency = \"GBP\"\n", "")).contains("missing field `currency`"));
        assert!(message(&gb.replace("GBP", "pounds")).starts_with("`currency` of the market must be an ISO 4217 code"));
        assert!(message(&gb.replace("name = \"gb\"", "name = \"Great Britain\"")).contains("`name`"));
        assert!(message(&gb.replace("language = \"en\"", "language = \"en\"\nlanguages = 1")).contains("languages"));
        let error = with(|definition| definition.prices = [100.0, 50.0]).unwrap_err();
        assert!(matches!(error, MarketError::Range { key: "prices" }), "{error}");
        let error = with(|definition| definition.median_price = [1.0, 2.0]).unwrap_err();
        assert!(error.to_string().ends_with("within `prices`"), "{error}");
    }

    #[test]
    fn contradicting_spellings_are_rejected() {
        let add = |value: &str, word: &str| {
            with(|definition| {
                let values = definition.values.entry(Column::Transmission).or_default();
                values.entry(value.to_owned()).or_default().push(word.to_owned());
            })
        };
        let error = add("automatic", "Man").unwrap_err().to_string();
        assert_eq!(error, "the transmission \"man\" means both \"automatic\" and \"manual\"");
        let error = add("automatic", "manual").unwrap_err().to_string();
        assert_eq!(error, "the transmission \"manual\" means both \"manual\" and \"automatic\"");
        let error = with(|definition| drop(definition.headers.insert(Column::Color, vec!["Gearbox".to_owned()])));
        assert_eq!(error.unwrap_err().to_string(), "the header \"gearbox\" stands for both transmission and color");
        let error = with(|definition| drop(definition.values.insert(Column::Year, BTreeMap::new()))).unwrap_err();
        assert_eq!(error.to_string(), "`values.year`: only text columns have spellings");
    }
}
