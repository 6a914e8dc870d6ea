//! The identity of a listing: exact duplicates, relisted cars, and the split.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::cell::{is_missing_word, missing_words};
use crate::column::{Column, Kind};
use crate::listing::{Listing, Targets};
use crate::market::Market;
use crate::value::Value;

/// A split of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// 80 %: the model is trained on it.
    Train,
    /// 10 %: for early stopping and for calibrating the intervals.
    Validation,
    /// 10 %: for the accuracy card only.
    Test,
}

impl Split {
    /// First and last bucket of the split; see [`Identity::bucket`].
    #[must_use]
    pub fn buckets(self) -> (i16, i16) {
        match self {
            Self::Train => (0, 79),
            Self::Validation => (80, 89),
            Self::Test => (90, 99),
        }
    }

    /// Its name in files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// The columns that may change when a car is relisted.
pub const VARYING_COLUMNS: [Column; 3] = [Column::ListingDate, Column::Region, Column::OwnersCount];

/// The columns that contradict each other only if they are of different cars. The others, like color and body, are described
/// differently by the same sellers.
const TECHNICAL_COLUMNS: [Column; 7] = [
    Column::Model,
    Column::FuelType,
    Column::EngineVolume,
    Column::EnginePower,
    Column::Transmission,
    Column::Drive,
    Column::Wheel,
];
/// Below this mileage, many new cars have the same one.
const NEW_CAR_MILEAGE: f64 = 1000.0;

/// Increment whenever the same cells would be stored, hashed or grouped differently than before: stored listings are
/// then converted. Changes of the word tables are detected without it.
const RULES_VERSION: u32 = 1;

/// A hash of this build's canonical form of a market's listings: its rules, synonyms and words for "unknown". It is stored with
/// the listings, whose own hashes depend on it.
#[must_use]
pub fn canonical_form(market: &Market) -> [u8; 16] {
    let synonyms = market.synonyms();
    let of = |(column, words): (&String, &BTreeMap<String, String>)| {
        let words = words.iter().flat_map(|(word, value)| [word.clone(), value.clone()]);
        std::iter::once(column.clone()).chain(words).collect::<Vec<_>>()
    };
    let mut hash = Sha256::new();
    hash.update(RULES_VERSION.to_le_bytes());
    for text in synonyms.iter().flat_map(of).chain(missing_words().iter().map(|word| (*word).to_owned())) {
        feed(&mut hash, Some(&Value::Text(text)));
    }
    first_16(&hash.finalize())
}

/// The canonical form in which a listing is stored: text folded, synonyms resolved, numbers rounded to the precision of
/// the database. Idempotent.
#[must_use]
pub fn canonical_listing(listing: &Listing, market: &Market) -> Listing {
    let mut folded = Listing::default();
    for column in Column::descriptive() {
        let value = match listing.get(*column) {
            Some(Value::Text(text)) => {
                let text = market.canonical(*column, text);
                (Column::REQUIRED.contains(column) || !is_missing_word(&text)).then_some(Value::Text(text))
            }
            Some(Value::Number(number)) if matches!(column.kind(), Kind::Decimal { .. }) => {
                Some(Value::Number(single_precision(*number)))
            }
            other => other.cloned(),
        };
        folded.set(*column, value);
    }
    folded
}

/// Rounds a number to single precision and back through its shortest decimal form: 1.6 stays 1.6.
#[must_use]
pub fn single_precision(number: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is intended")]
    let single = number as f32;
    single.to_string().parse().unwrap_or(number)
}

/// The identity of a stored listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hash of all columns, including targets and date: rows with equal hashes are duplicates.
    pub content_hash: [u8; 16],
    /// Equal for all listings of a car.
    pub listing_group: [u8; 16],
    /// 0 to 99; decides the split, unless the group already belongs to another one.
    pub bucket: i16,
}

impl Identity {
    /// The identity of a listing in canonical form. Its group is derived from its `car_group` if it has one, and
    /// otherwise from the columns that do not change when a car is relisted.
    ///
    /// The same `car_group` in two sources means two groups, since each source numbers its cars independently. Both
    /// groups share a split, in case it is the same car after all.
    #[must_use]
    pub fn new(canonical: &Listing, targets: &Targets, car_group: Option<CarGroup>, source: Option<&str>) -> Self {
        let listing_group = match car_group {
            Some(car_group) => car_group.scoped_to(source),
            None => hash_stable_columns(canonical),
        };
        let bucket = bucket(&car_group.map_or(listing_group, |car_group| car_group.0));
        Self { content_hash: hash_content(canonical, targets), listing_group, bucket }
    }
}

/// The hash of a `car_group`, regardless of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarGroup(pub [u8; 16]);

impl CarGroup {
    /// Hashes the text of a table's `car_group` column.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"car_group");
        hash.update(text);
        Self(first_16(&hash.finalize()))
    }

    fn scoped_to(self, source: Option<&str>) -> [u8; 16] {
        let Some(source) = source else { return self.0 };
        let mut hash = Sha256::new();
        hash.update(b"source");
        feed(&mut hash, Some(&Value::Text(source.to_owned())));
        hash.update(self.0);
        first_16(&hash.finalize())
    }
}

/// Hashes a whole row; the listing is in canonical form.
fn hash_content(canonical: &Listing, targets: &Targets) -> [u8; 16] {
    let mut hash = Sha256::new();
    for column in Column::descriptive() {
        feed(&mut hash, canonical.get(*column));
    }
    feed(&mut hash, Some(&Value::Number(targets.price)));
    // A missing one adds nothing: listings that were stored before there were these keep their hashes.
    for (column, target) in [(Column::SalePrice, targets.sale_price), (Column::DaysListed, targets.days_listed)] {
        if let Some(target) = target {
            feed(&mut hash, Some(&Value::Text(column.name().to_owned())));
            feed(&mut hash, Some(&Value::Number(target)));
        }
    }
    first_16(&hash.finalize())
}

/// Hashes the columns that do not change when a car is relisted: the group of a listing without a `car_group`.
#[must_use]
pub fn hash_stable_columns(canonical: &Listing) -> [u8; 16] {
    let mut hash = Sha256::new();
    for column in Column::descriptive().iter().filter(|column| !VARYING_COLUMNS.contains(column)) {
        feed(&mut hash, canonical.get(*column));
    }
    first_16(&hash.finalize())
}

/// Whether both listings, in canonical form, have the same value in a column, to the precision of the database.
#[must_use]
pub fn has_equal(listing: &Listing, other: &Listing, column: Column) -> bool {
    match (listing.get(column), other.get(column)) {
        (Some(Value::Number(number)), Some(Value::Number(other))) => (number - other).abs() < 1e-4,
        (value, other) => value == other,
    }
}

/// Whether two listings, in canonical form, may be of the same car: they have the same make, year and mileage, and no technical
/// column that both state differs. New cars must also be described the same, since many of them have the same mileage.
#[must_use]
pub fn may_be_same_car(listing: &Listing, other: &Listing) -> bool {
    let has_equal = |column: &Column| has_equal(listing, other, *column);
    let is_possible = |column: &Column| {
        let is_unstated = listing.get(*column).is_none() || other.get(*column).is_none();
        is_unstated || has_equal(column)
    };
    let is_new = listing.number(Column::Mileage).is_none_or(|mileage| mileage < NEW_CAR_MILEAGE);
    let mut stable = Column::descriptive().iter().filter(|column| !VARYING_COLUMNS.contains(column));
    Column::REQUIRED.iter().all(has_equal)
        && TECHNICAL_COLUMNS.iter().all(is_possible)
        && (!is_new || stable.all(has_equal))
}

/// The bucket of a hash, 0 to 99.
fn bucket(group: &[u8; 16]) -> i16 {
    let number = u64::from_le_bytes(std::array::from_fn(|index| group[index]));
    (number % 100) as i16
}

/// Days since 1970-01-01, the numeric form of a date.
#[must_use]
pub fn days_since_epoch(date: NaiveDate) -> f64 {
    f64::from(date.to_epoch_days())
}

/// Age in years, on a day, of a car made in a year. Negative for next year's models.
#[must_use]
pub fn age(day: NaiveDate, year: f64) -> f64 {
    1970.0 + days_since_epoch(day) / DAYS_PER_YEAR - year
}

/// Mean length of a Gregorian year, in days.
pub const DAYS_PER_YEAR: f64 = 365.2425;

fn feed(hash: &mut Sha256, value: Option<&Value>) {
    match value {
        None => hash.update([0]),
        Some(Value::Text(text)) => {
            hash.update([1]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        Some(Value::Number(number)) => {
            hash.update([2]);
            hash.update(number.to_le_bytes());
        }
        Some(Value::Date(date)) => {
            hash.update([3]);
            hash.update(date.to_epoch_days().to_le_bytes());
        }
    }
}

fn first_16(hash: &[u8]) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;

    fn listing(mileage: f64, region: &str) -> Listing {
        let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let cells = [
            (Column::Brand, Cell::Text("Kia")),
            (Column::Year, Cell::Number(2018.0)),
            (Column::Mileage, Cell::Number(mileage)),
            (Column::Region, Cell::Text(region)),
        ];
        canonical_listing(&Listing::from_cells(cells, Market::russia(), today).unwrap(), Market::russia())
    }

    fn identity(listing: &Listing, car_group: Option<&str>, source: Option<&str>) -> Identity {
        Identity::new(listing, &Targets::price(5.0), car_group.map(CarGroup::new), source)
    }

    #[test]
    fn relisted_cars_share_a_group() {
        let group = |listing: &Listing, car_group| identity(listing, car_group, None).listing_group;
        let moscow = listing(83_000.0, "Москва");
        let tver = listing(83_000.0, "Тверь");
        assert_eq!(group(&moscow, None), group(&tver, None));
        assert_ne!(group(&moscow, None), group(&listing(84_000.0, "Москва"), None));
        assert_eq!(group(&moscow, Some("x")), group(&listing(1.0, "Тверь"), Some("x")));
    }

    #[test]
    fn listings_of_the_same_mileage_and_engine_may_be_of_the_same_car() {
        let with = |mut car: Listing, column, value| {
            car.set(column, Some(value));
            car
        };
        let text = |text: &str| Value::Text(text.into());
        let car = with(listing(83_000.0, "Москва"), Column::Color, text("белый"));
        assert!(may_be_same_car(&car, &with(listing(83_000.0, "Тверь"), Column::Color, text("серый"))));
        assert!(!may_be_same_car(&car, &listing(84_000.0, "Москва")));
        let small = with(car.clone(), Column::EngineVolume, Value::Number(1.4));
        assert!(may_be_same_car(&car, &small), "one of them does not state the engine");
        assert!(!may_be_same_car(&with(car, Column::EngineVolume, Value::Number(1.6)), &small));
        let new = listing(5.0, "Москва");
        assert!(may_be_same_car(&new, &listing(5.0, "Тверь")));
        assert!(!may_be_same_car(&new, &with(listing(5.0, "Москва"), Column::Color, text("белый"))));
    }

    #[test]
    fn car_groups_are_scoped_to_their_source() {
        let car = listing(83_000.0, "Москва");
        let of = |source| identity(&car, Some("17"), source);
        assert_ne!(of(Some("avito")).listing_group, of(Some("drom")).listing_group);
        assert_ne!(of(Some("avito")).listing_group, of(None).listing_group);
        assert_eq!(of(Some("avito")).bucket, of(Some("drom")).bucket);
        let unlabelled = |source| identity(&car, None, source);
        assert_eq!(unlabelled(Some("avito")), unlabelled(Some("drom")));
    }

    #[test]
    fn duplicates_have_equal_hashes_in_any_spelling() {
        let hash = |listing: &Listing, price| hash_content(listing, &Targets::price(price));
        assert_eq!(hash(&listing(1.0, "МОСКВА"), 5.0), hash(&listing(1.0, " мск "), 5.0),);
        assert_ne!(hash(&listing(1.0, "Москва"), 5.0), hash(&listing(1.0, "Москва"), 6.0));
        let sold = Targets { sale_price: Some(4.0), ..Targets::price(5.0) };
        let stood = Targets { days_listed: Some(4.0), ..Targets::price(5.0) };
        let moscow = listing(1.0, "Москва");
        assert_ne!(hash_content(&moscow, &sold), hash(&moscow, 5.0));
        assert_ne!(hash_content(&moscow, &sold), hash_content(&moscow, &stood));
        let mut long = listing(1.0, "н/д");
        long.set(Column::EngineVolume, Some(Value::Number(1.598_000_000_1)));
        let mut short = listing(1.0, "-");
        short.set(Column::EngineVolume, Some(Value::Number(1.598)));
        let canonical = |listing| canonical_listing(listing, Market::russia());
        assert_eq!(canonical(&long), canonical(&short));
    }

    /// Stored listings have these hashes. If this test fails, increment [`RULES_VERSION`] and update the hashes.
    #[test]
    fn hashes_change_only_with_the_rules_version() {
        let mut car = listing(83_000.0, "МОСКВА");
        car.set(Column::EngineVolume, Some(Value::Number(1.6)));
        car.set(Column::ListingDate, Some(Value::Date(NaiveDate::from_ymd_opt(2026, 3, 17).unwrap())));
        let hex = |hash: [u8; 16]| hash.map(|byte| format!("{byte:02x}")).concat();
        let fields = |identity: Identity| (hex(identity.content_hash), hex(identity.listing_group), identity.bucket);
        let content = "ba7b0e9c7f53eef9d4d5870b45483430".to_owned();
        assert_eq!(RULES_VERSION, 1);
        assert_eq!(
            fields(identity(&car, None, None)),
            (content.clone(), "b15e9dc1b965f07e245b4fe986b0ad7b".to_owned(), 93)
        );
        assert_eq!(
            fields(identity(&car, Some("x"), None)),
            (content.clone(), "5435ebc9684fcf94fac3dbdf85ee0d84".to_owned(), 36)
        );
        assert_eq!(
            fields(identity(&car, Some("x"), Some("avito"))),
            (content.clone(), "71054f0a9ab892b6e6dfd7d544507705".to_owned(), 36)
        );
    }

    #[test]
    fn buckets_are_uniform() {
        let mut train = 0;
        for number in 0..10_000_u32 {
            let mut hash = Sha256::new();
            hash.update(number.to_le_bytes());
            let bucket = bucket(&first_16(&hash.finalize()));
            let (first, last) = Split::Train.buckets();
            train += u32::from((first..=last).contains(&bucket));
        }
        assert!((7_850..8_150).contains(&train), "{train}");
    }
}
