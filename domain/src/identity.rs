//! Who is who among listings: exact repetitions, the same car listed again, and its split.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::column::Column;
use crate::listing::{Listing, PricedListing, Value};
use crate::synonyms::canonical;

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

/// The canonical form of a listing, in which it is stored: every text folded, synonyms resolved.
#[must_use]
pub fn canonical_listing(listing: &Listing) -> Listing {
    let mut folded = Listing::default();
    for column in Column::descriptive() {
        let value = match listing.get(*column) {
            Some(Value::Text(text)) => Some(Value::Text(canonical(*column, text))),
            other => other.cloned(),
        };
        folded.set(*column, value);
    }
    folded
}

/// The hash of a whole row, price and date included: equal rows are repetitions. `canonical` is
/// the listing in canonical form.
#[must_use]
pub fn content_hash(canonical: &Listing, price: f64) -> [u8; 16] {
    let mut hash = Sha256::new();
    for column in Column::descriptive() {
        feed(&mut hash, canonical.get(*column));
    }
    feed(&mut hash, Some(&Value::Number(price)));
    first_16(&hash.finalize())
}

/// The group of a priced listing: its `car_group` where the table has one, otherwise a hash of
/// what stays the same when a car is listed again.
#[must_use]
pub fn listing_group(canonical: &Listing, row: &PricedListing) -> [u8; 16] {
    let mut hash = Sha256::new();
    if let Some(group) = &row.car_group {
        hash.update(b"car_group");
        hash.update(group);
    } else {
        for column in Column::descriptive().iter().filter(|column| !VARYING.contains(column)) {
            feed(&mut hash, canonical.get(*column));
        }
    }
    first_16(&hash.finalize())
}

/// The bucket, 0 to 99, that decides the split of a group. Depends on nothing else, so that a
/// listing never changes sides.
#[must_use]
pub fn bucket(group: &[u8; 16]) -> i16 {
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

    fn group(listing: &Listing, car_group: Option<&str>) -> [u8; 16] {
        let row = PricedListing {
            listing: listing.clone(),
            price: 1.0,
            car_group: car_group.map(str::to_owned),
            source: None,
        };
        listing_group(listing, &row)
    }

    #[test]
    fn a_car_listed_again_stays_in_its_group() {
        let moscow = listing(83_000.0, "Москва");
        let tver = listing(83_000.0, "Тверь");
        assert_eq!(group(&moscow, None), group(&tver, None));
        assert_ne!(group(&moscow, None), group(&listing(84_000.0, "Москва"), None));
        assert_eq!(group(&moscow, Some("x")), group(&listing(1.0, "Тверь"), Some("x")));
    }

    #[test]
    fn a_repetition_has_the_same_content_whatever_its_spelling() {
        assert_eq!(content_hash(&listing(1.0, "МОСКВА"), 5.0), content_hash(&listing(1.0, " мск "), 5.0),);
        assert_ne!(content_hash(&listing(1.0, "Москва"), 5.0), content_hash(&listing(1.0, "Москва"), 6.0));
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
