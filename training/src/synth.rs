//! A synthetic market: made-up listings of real car models, deterministic by seed.
//!
//! Prices, depreciation, mileages and inflation roughly follow the Russian market of 2020 to 2026; no listing is real.

mod catalogue;

use chrono::{Days, NaiveDate};
use domain::{Column, Listing, PricedListing, Targets, Value};
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{LogNormal, Normal};

use catalogue::{CATALOGUE, Car, Engine};

/// The value of the `source` column of every synthetic listing.
pub const SOURCE: &str = "synthetic";

/// An infinite sequence of listings, determined by the seed.
#[derive(Debug)]
pub struct Market {
    random: ChaCha8Rng,
    popularity: WeightedIndex<f64>,
    /// The previous listing, which may be listed again at another price.
    last: Option<PricedListing>,
    listed: u64,
}

/// The colors with their weights.
const COLORS: [(&str, f64); 8] = [
    ("белый", 22.0),
    ("чёрный", 22.0),
    ("серый", 16.0),
    ("серебристый", 15.0),
    ("синий", 10.0),
    ("красный", 7.0),
    ("коричневый", 5.0),
    ("зелёный", 3.0),
];

/// The regions with their weights and their price levels relative to the country.
const REGIONS: [(&str, f64, f64); 10] = [
    ("Москва", 22.0, 1.05),
    ("Санкт-Петербург", 14.0, 1.03),
    ("Екатеринбург", 8.0, 1.0),
    ("Новосибирск", 8.0, 0.99),
    ("Нижний Новгород", 7.0, 0.98),
    ("Казань", 7.0, 0.99),
    ("Краснодар", 9.0, 1.02),
    ("Самара", 6.0, 0.97),
    ("Владивосток", 5.0, 1.04),
    ("Ростов-на-Дону", 6.0, 0.98),
];

impl Market {
    /// A market with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let weights = CATALOGUE.iter().map(|car| car.popularity);
        let popularity = WeightedIndex::new(weights)
            .unwrap_or_else(|_| unreachable!("the weights of the catalogue are positive constants"));
        Self { random: ChaCha8Rng::seed_from_u64(seed), popularity, last: None, listed: 0 }
    }

    fn new_listing(&mut self) -> PricedListing {
        let car = &CATALOGUE[self.popularity.sample(&mut self.random)];
        let engine = &car.engines[self.random.random_range(0..car.engines.len())];
        let date = listing_date(&mut self.random);
        let year = self.year(car, date);
        let age = domain::identity::age(date, f64::from(year)).max(0.0);
        let yearly_mileage = self.draw(LogNormal::new(9.6, 0.35).ok()); // about 15,000 km
        let mileage = (yearly_mileage * (age + 0.3)).clamp(500.0, 600_000.0);
        let is_automatic = engine.automatic || self.random.random_bool(0.35);
        let (region, region_level) = weighted(&mut self.random, &REGIONS);
        let is_damaged = self.random.random_bool(0.012);
        let price = Price { car, engine, age, mileage, is_automatic, is_damaged, date, region_level };
        let noise = self.draw(Normal::new(0.0, 0.1).ok()).exp();
        let mut listing = Listing::default();
        let mut text = |column, value: &str| listing.set(column, Some(Value::Text(value.to_owned())));
        text(Column::Brand, car.brand);
        text(Column::Model, car.model);
        text(Column::BodyType, car.body);
        text(Column::FuelType, engine.fuel);
        text(Column::Transmission, if is_automatic { "автоматическая" } else { "механическая" });
        text(Column::Drive, car.drive);
        text(Column::Wheel, "Левый");
        text(Column::State, if is_damaged { "Битый / не на ходу" } else { "Не требует ремонта" });
        text(Column::Pts, if self.random.random_bool(0.85) { "Оригинал" } else { "Дубликат" });
        text(Column::Customs, "Растаможен");
        text(Column::Region, region);
        text(Column::Color, weighted_name(&mut self.random, &COLORS));
        text(Column::VehicleGeneration, generation(car, year));
        let owners = 1.0 + (age / 5.0 * self.random.random::<f64>() * 2.0).floor().min(3.0);
        for (column, number) in [
            (Column::Year, f64::from(year)),
            (Column::Mileage, round_like_sellers(mileage)),
            (Column::EngineVolume, engine.volume),
            (Column::EnginePower, engine.power),
            (Column::OwnersCount, owners),
        ] {
            listing.set(column, Some(Value::Number(number)));
        }
        listing.set(Column::ListingDate, Some(Value::Date(date)));
        self.remove_fields(&mut listing);
        self.listed += 1;
        PricedListing {
            listing,
            targets: Targets::price(round_like_sellers(price.expected() * noise).max(15_000.0)),
            car_group: Some(format!("synthetic-{}", self.listed)),
            source: Some(SOURCE.to_owned()),
        }
    }

    fn year(&mut self, car: &Car, date: NaiveDate) -> i32 {
        use chrono::Datelike;
        let last = car.last_year.min(date.year());
        let span = f64::from(last - car.first_year + 1);
        // Newer cars are listed more often than older ones.
        let years_back = (self.random.random::<f64>().powf(1.3) * span).floor();
        #[expect(clippy::cast_possible_truncation, reason = "below the age of the automobile")]
        {
            last - years_back as i32
        }
    }

    /// Removes fields at random, since many real listings do not have them.
    fn remove_fields(&mut self, listing: &mut Listing) {
        for (column, share) in [
            (Column::VehicleGeneration, 0.4),
            (Column::Pts, 0.3),
            (Column::Customs, 0.3),
            (Column::OwnersCount, 0.25),
            (Column::Color, 0.2),
            (Column::State, 0.15),
            (Column::Wheel, 0.1),
            (Column::BodyType, 0.08),
        ] {
            if self.random.random_bool(share) {
                listing.set(column, None);
            }
        }
    }

    fn draw<D: Distribution<f64>>(&mut self, distribution: Option<D>) -> f64 {
        // The parameters are valid constants, so there always is a distribution.
        distribution.map_or(1.0, |distribution| distribution.sample(&mut self.random))
    }
}

impl Iterator for Market {
    type Item = PricedListing;

    fn next(&mut self) -> Option<PricedListing> {
        // One car in twelve is listed again a few weeks later at a lower price.
        let relisted = self.last.take().filter(|_| self.random.random_bool(1.0 / 12.0));
        if let Some(mut listing) = relisted {
            let delay = Days::new(self.random.random_range(10..60));
            let date = listing.listing.date().and_then(|date| date.checked_add_days(delay));
            listing.listing.set(Column::ListingDate, date.map(Value::Date));
            listing.targets.price = round_like_sellers(listing.targets.price * self.random.random_range(0.9..0.99));
            return Some(listing);
        }
        let listing = self.new_listing();
        self.last = Some(listing.clone());
        Some(listing)
    }
}

/// The components of the expected price.
struct Price<'a> {
    car: &'a Car,
    engine: &'a Engine,
    /// The age in years.
    age: f64,
    /// The mileage in kilometers.
    mileage: f64,
    is_automatic: bool,
    is_damaged: bool,
    date: NaiveDate,
    region_level: f64,
}

impl Price<'_> {
    fn expected(&self) -> f64 {
        // A car loses a tenth immediately, then about 8 % per year, and hardly anything when it is old.
        let residual = 0.06 + 0.84 * (-self.car.depreciation * self.age).exp();
        let expected_mileage = 15_000.0 * (self.age + 0.3);
        let wear = (-(self.mileage - expected_mileage) / 900_000.0).exp().clamp(0.7, 1.25);
        let power = (self.engine.power / self.car.engines[0].power).powf(0.6);
        let gearbox = if self.is_automatic { 1.06 } else { 1.0 };
        let state = if self.is_damaged { 0.55 } else { 1.0 };
        self.car.new_price * residual * wear * power * gearbox * state * market_level(self.date) * self.region_level
    }
}

/// The price level of the market, relative to January 2021.
fn market_level(date: NaiveDate) -> f64 {
    const LEVELS: [(i32, f64); 7] =
        [(2020, 0.78), (2021, 1.0), (2022, 1.35), (2023, 1.55), (2024, 1.8), (2025, 2.0), (2026, 2.12)];
    let year = 1970.0 + domain::identity::days_since_epoch(date) / domain::identity::DAYS_PER_YEAR;
    let after = LEVELS.iter().position(|(begin, _)| f64::from(*begin) > year).unwrap_or(LEVELS.len() - 1).max(1);
    let ((from, low), (to, high)) = (LEVELS[after - 1], LEVELS[after]);
    let share = ((year - f64::from(from)) / f64::from(to - from)).clamp(0.0, 1.0);
    low + (high - low) * share
}

fn listing_date(random: &mut impl Rng) -> NaiveDate {
    // Any day from 2020-07-01 to 2026-03-31.
    let first = NaiveDate::from_ymd_opt(2020, 7, 1).unwrap_or_default();
    first + Days::new(random.random_range(0..2_100))
}

fn generation(car: &Car, year: i32) -> &'static str {
    const NAMES: [&str; 6] = ["I", "II", "III", "IV", "V", "VI"];
    // A generation lasts about seven years.
    let number = usize::try_from((year - car.first_year) / 7).unwrap_or(0);
    NAMES[number.min(NAMES.len() - 1)]
}

fn weighted<'a>(random: &mut impl Rng, table: &[(&'a str, f64, f64)]) -> (&'a str, f64) {
    let mut remaining = random.random::<f64>() * table.iter().map(|(_, weight, _)| weight).sum::<f64>();
    for (name, weight, value) in table {
        remaining -= weight;
        if remaining <= 0.0 {
            return (name, *value);
        }
    }
    (table[0].0, table[0].2)
}

fn weighted_name<'a, const N: usize>(random: &mut impl Rng, table: &[(&'a str, f64); N]) -> &'a str {
    weighted(random, &table.map(|(name, weight)| (name, weight, 0.0))).0
}

/// Rounds to three significant digits: no seller asks for 1,234,567 rubles.
fn round_like_sellers(value: f64) -> f64 {
    let unit = 10_f64.powf((value.log10().floor() - 2.0).max(0.0));
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_market() {
        let one: Vec<_> = Market::new(7).take(500).collect();
        let two: Vec<_> = Market::new(7).take(500).collect();
        assert_eq!(one, two);
        assert_ne!(one, Market::new(8).take(500).collect::<Vec<_>>());
    }

    #[test]
    fn every_listing_is_valid_for_an_import() {
        for row in Market::new(1).take(5_000) {
            assert!(row.targets.price >= 15_000.0 && row.targets.price < 1e8, "{row:?}");
            for column in Column::REQUIRED {
                assert!(row.listing.get(column).is_some());
            }
            let mileage = row.listing.number(Column::Mileage).unwrap();
            assert!((0.0..=2_000_000.0).contains(&mileage));
        }
    }

    #[test]
    fn the_market_doubles_over_six_years() {
        let level = |year, month| market_level(NaiveDate::from_ymd_opt(year, month, 1).unwrap());
        assert!((level(2021, 1) - 1.0).abs() < 0.01);
        assert!(level(2026, 3) / level(2021, 1) > 2.0);
        assert!(level(2020, 7) < 0.9);
    }
}
