//! Who is who among listings: exact repetitions, the same car listed again, and its split.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::cell::{missing_words, says_nothing};
use crate::column::{Column, Kind};
use crate::listing::Listing;
use crate::synonyms::{self, canonical};
use crate::value::Value;

/// The parts of the data that are kept from one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Eight tenths: what the model learns from.
    Train,
    /// One tenth: stops the training and calibrates the intervals.
    Validation,
    /// One tenth: only measured on.
    Test,
}

impl Split {
    /// The split's buckets of [`bucket`], first and last included.
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

/// What changes when the same car is listed again.
pub const VARYING: [Column; 3] = [Column::ListingDate, Column::Region, Column::OwnersCount];

/// To be raised whenever the same cells would be stored, hashed or grouped otherwise than before: then stored listings
/// are brought into the new form. The tables of words count by themselves.
const RULES: u32 = 1;

/// What tells the form in which this build stores listings from that of any other build: its rules, its synonyms, its
/// words for "unknown". Listings that were stored in another form get other hashes, so it is kept beside them.
#[must_use]
pub fn canonical_form() -> [u8; 16] {
    let synonyms = |column| synonyms::of(column).iter().flat_map(|(word, meaning)| [*word, *meaning]);
    let columns = Column::ALL.into_iter().flat_map(|column| std::iter::once(column.name()).chain(synonyms(column)));
    let mut hash = Sha256::new();
    hash.update(RULES.to_le_bytes());
    for text in columns.chain(missing_words().iter().copied()) {
        feed(&mut hash, Some(&Value::Text(text.to_owned())));
    }
    first_16(&hash.finalize())
}

/// The canonical form of a listing, in which it is stored: every text folded, synonyms resolved, numbers as precise as
/// the database keeps them. What is in canonical form stays as it is.
#[must_use]
pub fn canonical_listing(listing: &Listing) -> Listing {
    let mut folded = Listing::default();
    for column in Column::descriptive() {
        let value = match listing.get(*column) {
            Some(Value::Text(text)) => {
                let text = canonical(*column, text);
                (Column::REQUIRED.contains(column) || !says_nothing(&text)).then_some(Value::Text(text))
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

/// The number that is left of another in single precision, as it would be written: 1.6 stays 1.6.
#[must_use]
pub fn single_precision(number: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
    let single = number as f32;
    single.to_string().parse().unwrap_or(number)
}

/// Who a stored listing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of everything in it, price and date included: equal rows are repetitions.
    pub content_hash: [u8; 16],
    /// The same for every listing of a car.
    pub listing_group: [u8; 16],
    /// Decides the split, unless listings of the group were in another one before.
    pub bucket: i16,
}

impl Identity {
    /// The identity of a listing in canonical form. Its group is the `car_group` of its source where it has one,
    /// otherwise made of what stays the same when a car is listed again.
    ///
    /// Sources number their cars as they like, so the same `car_group` of two sources means two groups. They share a
    /// split all the same: if it is the same car after all, it is on one side.
    #[must_use]
    pub fn new(canonical: &Listing, price: f64, car_group: Option<CarGroup>, source: Option<&str>) -> Self {
        let listing_group = match car_group {
            Some(car_group) => car_group.within(source),
            None => stable_fields(canonical),
        };
        let bucket = bucket(&car_group.map_or(listing_group, |car_group| car_group.0));
        Self { content_hash: content_hash(canonical, price), listing_group, bucket }
    }
}

/// The hash of a `car_group`, whatever its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CarGroup(pub [u8; 16]);

impl CarGroup {
    /// The hash of the text in a table.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"car_group");
        hash.update(text);
        Self(first_16(&hash.finalize()))
    }

    fn within(self, source: Option<&str>) -> [u8; 16] {
        let Some(source) = source else { return self.0 };
        let mut hash = Sha256::new();
        hash.update(b"source");
        feed(&mut hash, Some(&Value::Text(source.to_owned())));
        hash.update(self.0);
        first_16(&hash.finalize())
    }
}

/// The hash of a whole row. `canonical` is the listing in canonical form.
fn content_hash(canonical: &Listing, price: f64) -> [u8; 16] {
    let mut hash = Sha256::new();
    for column in Column::descriptive() {
        feed(&mut hash, canonical.get(*column));
    }
    feed(&mut hash, Some(&Value::Number(price)));
    first_16(&hash.finalize())
}

/// The hash of what stays the same when a car is listed again: the group of a listing without a `car_group`.
#[must_use]
pub fn stable_fields(canonical: &Listing) -> [u8; 16] {
    let mut hash = Sha256::new();
    for column in Column::descriptive().iter().filter(|column| !VARYING.contains(column)) {
        feed(&mut hash, canonical.get(*column));
    }
    first_16(&hash.finalize())
}

/// The bucket, 0 to 99, that a hash falls into.
fn bucket(group: &[u8; 16]) -> i16 {
    let number = u64::from_le_bytes(std::array::from_fn(|place| group[place]));
    (number % 100) as i16
}

/// Days since 1970-01-01: the unit in which the model sees a date.
#[must_use]
pub fn days_since_epoch(date: NaiveDate) -> f64 {
    f64::from(date.to_epoch_days())
}

/// Age in years of a car of a year of manufacture, on a day. Negative for next year's models.
#[must_use]
pub fn age(day: NaiveDate, year: f64) -> f64 {
    1970.0 + days_since_epoch(day) / DAYS_PER_YEAR - year
}

/// Mean length of a year of the Gregorian calendar, in days.
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
        canonical_listing(&Listing::from_cells(cells, today).unwrap())
    }

    fn identity(listing: &Listing, car_group: Option<&str>, source: Option<&str>) -> Identity {
        Identity::new(listing, 5.0, car_group.map(CarGroup::new), source)
    }

    #[test]
    fn a_car_listed_again_stays_in_its_group() {
        let group = |listing: &Listing, car_group| identity(listing, car_group, None).listing_group;
        let moscow = listing(83_000.0, "Москва");
        let tver = listing(83_000.0, "Тверь");
        assert_eq!(group(&moscow, None), group(&tver, None));
        assert_ne!(group(&moscow, None), group(&listing(84_000.0, "Москва"), None));
        assert_eq!(group(&moscow, Some("x")), group(&listing(1.0, "Тверь"), Some("x")));
    }

    #[test]
    fn a_car_group_counts_within_its_source() {
        let car = listing(83_000.0, "Москва");
        let of = |source| identity(&car, Some("17"), source);
        assert_ne!(of(Some("avito")).listing_group, of(Some("drom")).listing_group);
        assert_ne!(of(Some("avito")).listing_group, of(None).listing_group);
        assert_eq!(of(Some("avito")).bucket, of(Some("drom")).bucket);
        let unlabelled = |source| identity(&car, None, source);
        assert_eq!(unlabelled(Some("avito")), unlabelled(Some("drom")));
    }

    #[test]
    fn a_repetition_has_the_same_content_whatever_its_spelling() {
        assert_eq!(content_hash(&listing(1.0, "МОСКВА"), 5.0), content_hash(&listing(1.0, " мск "), 5.0),);
        assert_ne!(content_hash(&listing(1.0, "Москва"), 5.0), content_hash(&listing(1.0, "Москва"), 6.0));
        let mut long = listing(1.0, "н/д");
        long.set(Column::EngineVolume, Some(Value::Number(1.598_000_000_1)));
        let mut short = listing(1.0, "-");
        short.set(Column::EngineVolume, Some(Value::Number(1.598)));
        assert_eq!(canonical_listing(&long), canonical_listing(&short));
    }

    /// Listings that are stored have these hashes. When this test fails, [`RULES`] has to be raised, and then the
    /// expected hashes are new ones.
    #[test]
    fn the_hashes_of_these_rules_stay_the_same() {
        let mut car = listing(83_000.0, "МОСКВА");
        car.set(Column::EngineVolume, Some(Value::Number(1.6)));
        car.set(Column::ListingDate, Some(Value::Date(NaiveDate::from_ymd_opt(2026, 3, 17).unwrap())));
        let hex = |hash: [u8; 16]| hash.map(|byte| format!("{byte:02x}")).concat();
        let told = |identity: Identity| (hex(identity.content_hash), hex(identity.listing_group), identity.bucket);
        let content = "ba7b0e9c7f53eef9d4d5870b45483430".to_owned();
        assert_eq!(RULES, 1);
        assert_eq!(
            told(identity(&car, None, None)),
            (content.clone(), "b15e9dc1b965f07e245b4fe986b0ad7b".to_owned(), 93)
        );
        assert_eq!(
            told(identity(&car, Some("x"), None)),
            (content.clone(), "5435ebc9684fcf94fac3dbdf85ee0d84".to_owned(), 36)
        );
        assert_eq!(
            told(identity(&car, Some("x"), Some("avito"))),
            (content.clone(), "71054f0a9ab892b6e6dfd7d544507705".to_owned(), 36)
        );
    }

    #[test]
    fn buckets_make_eight_one_and_one_tenths() {
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
