//! Whether a file belongs to the market that it is imported into.

use chrono::Datelike;
use domain::{Column, Market, PricedListing, quantile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The size of the sample of a file.
const SAMPLE_ROWS: usize = 20_000;
/// The number of values below which nothing is concluded from them.
const MIN_VALUES: usize = 20;
/// The share of unknown words above which a file is in another language.
const MAX_UNKNOWN: f64 = 0.5;
/// The share of words of one other market above which a file is a mixture.
const MAX_FOREIGN: f64 = 0.05;
/// The level of the quantile of the years of manufacture that stands for the newest cars; later ones may be typing errors.
const NEWEST: f64 = 0.995;
/// The columns with few values, which are spelled alike in all listings of a market.
const WORD_COLUMNS: [Column; 3] = [Column::BodyType, Column::FuelType, Column::Transmission];

/// Why a file does not seem to belong to its market.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Implausible {
    /// The prices are of another scale.
    #[error(
        "its median price is {median}, but in the market {market} it should be between {low} and {high}: are the prices in \
         another currency, or in hundredths or thousands?"
    )]
    Price {
        /// The market.
        market: String,
        /// The median, with its currency.
        median: String,
        /// The lowest expected median.
        low: String,
        /// The highest expected median.
        high: String,
    },
    /// The mileages are of another unit.
    #[error(
        "its median mileage per year is {median:.0} {unit}, but in the market {market} it should be between {low:.0} and \
         {high:.0} {unit}: is the mileage in {other}?"
    )]
    Mileage {
        /// The market.
        market: String,
        /// The median.
        median: f64,
        /// The lowest expected median.
        low: f64,
        /// The highest expected median.
        high: f64,
        /// The unit of the market.
        unit: &'static str,
        /// The other unit.
        other: &'static str,
    },
    /// The words are of another language.
    #[error("{:.0} % of its words are unknown in the market {market}, such as {examples}: is it of another market{hint}?", 100.0 * .share)]
    Words {
        /// The market.
        market: String,
        /// The share of unknown words.
        share: f64,
        /// Unknown words.
        examples: String,
        /// The market that knows most of them.
        hint: String,
    },
    /// Some of the listings are of another market.
    #[error(
        "{:.0} % of its words are those of the market {other} instead of {market}, such as {examples}: does it mix markets? \
         import the listings of each from a file of its own",
        100.0 * .share
    )]
    Mixture {
        /// The market.
        market: String,
        /// The other market.
        other: String,
        /// The share of the words of the other market.
        share: f64,
        /// Words of the other market.
        examples: String,
    },
}

/// A uniform sample of the listings of a file (Vitter 1985, algorithm R).
pub(super) struct FileSample {
    cars: Vec<SampledCar>,
    seen: usize,
    random: ChaCha8Rng,
}

struct SampledCar {
    price: f64,
    made_in: f64,
    /// In kilometres.
    mileage: f64,
    listed_in: Option<f64>,
    words: Vec<(Column, String)>,
}

impl FileSample {
    pub(super) fn new() -> Self {
        Self { cars: Vec::new(), seen: 0, random: ChaCha8Rng::seed_from_u64(0) }
    }

    pub(super) fn offer(&mut self, row: &PricedListing) {
        self.seen += 1;
        if self.cars.len() < SAMPLE_ROWS {
            self.cars.push(SampledCar::of(row));
            return;
        }
        let index = self.random.random_range(0..self.seen);
        if index < SAMPLE_ROWS {
            self.cars[index] = SampledCar::of(row);
        }
    }

    /// The mileages per year, in kilometres, of cars that are at least a year old. Cars without a date were listed when the newest
    /// cars were made.
    fn annual_mileages(&self) -> Vec<f64> {
        let mut years: Vec<f64> = self.cars.iter().map(|car| car.made_in).collect();
        years.sort_unstable_by(f64::total_cmp);
        let newest = quantile::nearest(&years, NEWEST).unwrap_or_default();
        let annual = |car: &SampledCar| {
            let age = car.listed_in.unwrap_or(newest) - car.made_in;
            (age >= 1.0).then_some(car.mileage / age)
        };
        self.cars.iter().filter_map(annual).collect()
    }

    /// Checks the sample against the market.
    pub(super) fn check(&self, market: &Market) -> Result<(), Implausible> {
        let definition = market.definition();
        let name = || market.name().to_owned();
        let median = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            quantile::interpolated(&values, 0.5).filter(|_| values.len() >= MIN_VALUES)
        };
        let [low, high] = definition.median_price;
        if let Some(price) = median(self.cars.iter().map(|car| car.price).collect())
            && !(low..=high).contains(&price)
        {
            let [median, low, high] = [price, low, high].map(|amount| market.money(amount));
            return Err(Implausible::Price { market: name(), median, low, high });
        }
        let [low, high] = definition.annual_mileage;
        let annual = self.annual_mileages().into_iter();
        if let Some(median) = median(annual.map(|km| market.to_shown(Column::Mileage, km)).collect())
            && !(low..=high).contains(&median)
        {
            let (unit, other) = match market.unit(Column::Mileage) {
                "miles" => ("miles", "kilometres"),
                _ => ("km", "miles"),
            };
            return Err(Implausible::Mileage { market: name(), median, low, high, unit, other });
        }
        self.check_words(market)
    }

    fn check_words(&self, market: &Market) -> Result<(), Implausible> {
        let words = || self.cars.iter().flat_map(|car| &car.words);
        let is_listed = |column| market.definition().values.contains_key(column);
        let all = words().filter(|(column, _)| is_listed(column)).count();
        let unknown: Vec<&(Column, String)> =
            words().filter(|(column, word)| is_listed(column) && !market.knows(*column, word)).collect();
        if all < MIN_VALUES || unknown.is_empty() {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a sample")]
        let share = |count: usize| count as f64 / all as f64;
        let known_by = |other: &&Market| unknown.iter().filter(|(column, word)| other.knows(*column, word)).count();
        let others = Market::built_in().iter().filter(|other| other.name() != market.name());
        let nearest = others.max_by_key(known_by);
        if share(unknown.len()) > MAX_UNKNOWN {
            let hint = nearest.filter(|other| 2 * known_by(other) > unknown.len());
            let hint = hint.map_or(String::new(), |other| format!(", such as {}", other.name()));
            let examples = examples(unknown.iter().copied());
            return Err(Implausible::Words {
                market: market.name().to_owned(),
                share: share(unknown.len()),
                examples,
                hint,
            });
        }
        match nearest {
            Some(other) if share(known_by(&other)) > MAX_FOREIGN => Err(Implausible::Mixture {
                market: market.name().to_owned(),
                other: other.name().to_owned(),
                share: share(known_by(&other)),
                examples: examples(unknown.iter().copied().filter(|(column, word)| other.knows(*column, word))),
            }),
            _ => Ok(()),
        }
    }
}

impl SampledCar {
    fn of(row: &PricedListing) -> Self {
        let listing = &row.listing;
        let number = |column| listing.number(column).unwrap_or_default();
        let words = WORD_COLUMNS.iter().filter_map(|column| Some((*column, listing.text(*column)?.to_owned())));
        Self {
            price: row.targets.price,
            made_in: number(Column::Year),
            mileage: number(Column::Mileage),
            listed_in: listing.date().map(|date| f64::from(date.year())),
            words: words.collect(),
        }
    }
}

/// The first distinct words.
fn examples<'a>(words: impl Iterator<Item = &'a (Column, String)>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for (_, word) in words {
        let quoted = format!("{word:?}");
        if distinct.len() == 3 {
            break;
        }
        if !distinct.contains(&quoted) {
            distinct.push(quoted);
        }
    }
    distinct.join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use domain::{Cell, Listing, Targets};

    use super::*;

    fn market(name: &str) -> &'static Market {
        Market::built_in().iter().find(|market| market.name() == name).unwrap()
    }

    /// What is said of a file of cars of 2020 with this price, mileage and gearboxes, read as of a market.
    fn verdict(name: &str, price: f64, mileage: f64, gearboxes: [&str; 10]) -> Result<(), String> {
        let today = NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
        let mut sample = FileSample::new();
        for gearbox in gearboxes.iter().cycle().take(200) {
            let cells = [
                (Column::Brand, Cell::Text("Ford")),
                (Column::Year, Cell::Number(2020.0)),
                (Column::ListingDate, Cell::Date(today)),
                (Column::Mileage, Cell::Number(mileage)),
                (Column::Transmission, Cell::Text(gearbox)),
            ];
            let listing = Listing::from_cells(cells, market(name), today).unwrap();
            let targets = Targets::price(price);
            sample.offer(&PricedListing { listing, targets, car_group: None, source: None });
        }
        sample.check(market(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn files_of_their_market_are_accepted() {
        assert_eq!(verdict("gb", 14_000.0, 42_000.0, ["Manual"; 10]), Ok(()));
        assert_eq!(verdict("de", 14_000.0, 72_000.0, ["Schaltgetriebe"; 10]), Ok(()));
        let mut one_unknown = ["Automatik"; 10];
        one_unknown[3] = "stufenlos";
        assert_eq!(verdict("de", 14_000.0, 72_000.0, one_unknown), Ok(()));
    }

    #[test]
    fn prices_and_mileages_of_another_scale_are_rejected() {
        let message = verdict("gb", 1_400_000.0, 42_000.0, ["Manual"; 10]).unwrap_err();
        assert!(message.starts_with("its median price is £1,400,000, but in the market gb"), "{message}");
        let message = verdict("gb", 14_000.0, 72_000.0, ["Manual"; 10]).unwrap_err();
        assert!(message.contains("per year is 12000 miles") && message.ends_with("in kilometres?"), "{message}");
        let message = verdict("de", 14_000.0, 42_000.0, ["Automatik"; 10]).unwrap_err();
        assert!(message.ends_with("is the mileage in miles?"), "{message}");
    }

    #[test]
    fn cars_without_a_date_are_as_old_as_the_newest_ones_tell() {
        let mut sample = FileSample::new();
        for age in (0..10_u32).cycle().take(200) {
            let mut listing = Listing::default();
            listing.set(Column::Year, Some(domain::Value::Number(f64::from(2020 - age))));
            let km = market("gb").to_stored(Column::Mileage, f64::from(7000 * age));
            listing.set(Column::Mileage, Some(domain::Value::Number(km)));
            let targets = Targets::price(14_000.0);
            sample.offer(&PricedListing { listing, targets, car_group: None, source: None });
        }
        assert_eq!(sample.check(market("gb")), Ok(()));
    }

    #[test]
    fn words_of_another_market_are_rejected() {
        let message = verdict("de", 14_000.0, 72_000.0, ["АКПП"; 10]).unwrap_err();
        assert!(message.starts_with("100 % of its words are unknown in the market de, such as \"АКПП\""), "{message}");
        assert!(message.ends_with("another market, such as ru?"), "{message}");
        let mut mixed = ["Manual"; 10];
        mixed[2] = "Schaltgetriebe";
        let message = verdict("gb", 14_000.0, 42_000.0, mixed).unwrap_err();
        assert!(message.starts_with("10 % of its words are those of the market de instead of gb"), "{message}");
    }
}
