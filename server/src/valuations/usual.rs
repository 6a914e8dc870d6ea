//! What is usual for cars of the same model and year.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use domain::identity::{age, canonical_listing, days_since_epoch, has_equal, may_be_same_car};
use domain::{Column, Listing, Market, Value, quantile};
use onnx_model::Model;

/// Listings of fewer than this many cars of the same year are supplemented by those of other years.
const MIN_SAME_YEAR: usize = 10;
/// What the likeliest values of the other columns depend on, if there are enough listings.
const VARIANT_COLUMNS: [Column; 7] = [
    Column::VehicleGeneration,
    Column::BodyType,
    Column::FuelType,
    Column::EngineVolume,
    Column::EnginePower,
    Column::Transmission,
    Column::Drive,
];
/// The yearly mileage of a car if the listings do not tell.
pub(crate) const YEARLY_MILEAGE: f64 = 15_000.0;
/// The minimum age for dividing a mileage by it.
const MIN_AGE: f64 = 0.5;
/// Usual mileages are rounded to this.
const MILEAGE_STEP: f64 = 1000.0;

/// What is usual for cars like the one that is valued.
#[derive(Debug)]
pub(crate) struct UsualValues<'a> {
    model: &'a Model,
    /// The car in canonical form.
    car: Listing,
    /// Listings of similar cars in canonical form; empty if there are none or they could not be looked up.
    sample: Vec<&'a Listing>,
}

/// A value with the share of cars that have it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Likely {
    pub(crate) value: Value,
    pub(crate) share: f64,
}

impl<'a> UsualValues<'a> {
    /// The usual values of cars like this one, according to a sample of listings, or else to what the model learned from.
    pub(crate) fn new(model: &'a Model, car: &Listing, sample: &'a [Listing]) -> Self {
        let car = canonical_listing(car, &model.signature().task.market);
        let others: Vec<&Listing> = sample.iter().filter(|listing| !may_be_same_car(listing, &car)).collect();
        let same_year: Vec<&Listing> =
            others.iter().copied().filter(|listing| has_equal(listing, &car, Column::Year)).collect();
        Self { model, car, sample: if same_year.len() < MIN_SAME_YEAR { others } else { same_year } }
    }

    /// The market of the car.
    pub(crate) fn market(&self) -> &Market {
        &self.model.signature().task.market
    }

    /// The number of listings that the values are taken from; 0 if they are from the model file.
    pub(crate) fn listings(&self) -> usize {
        self.sample.len()
    }

    /// The usual values of some columns, as one combination that occurs if any listing has all of them. `None` where no listing
    /// has a value.
    pub(crate) fn combination(&self, columns: &[Column]) -> Vec<Option<Value>> {
        let values = |listing: &&Listing| columns.iter().map(|column| listing.get(*column).cloned()).collect();
        let complete = self.sample.iter().filter_map(values);
        match most_frequent::<Vec<Value>>(complete, 1).into_iter().next() {
            Some((combination, _)) => combination.into_iter().map(Some).collect(),
            None => columns.iter().map(|column| self.most_frequent(*column)).collect(),
        }
    }

    /// The usual mileage of such a car on a day, from the kilometers per year of the listings.
    pub(crate) fn mileage(&self, day: NaiveDate) -> f64 {
        let per_year = |listing: &&Listing| {
            let day = listing.date().unwrap_or(day);
            Some(listing.number(Column::Mileage)? / years_of_use(day, listing))
        };
        let mut yearly: Vec<f64> = self.sample.iter().filter_map(per_year).collect();
        yearly.sort_unstable_by(f64::total_cmp);
        let yearly = quantile::median(&yearly).unwrap_or(YEARLY_MILEAGE);
        let mileage = yearly * years_of_use(day, &self.car) / MILEAGE_STEP;
        (mileage.round() * MILEAGE_STEP).clamp(0.0, 1_000_000.0)
    }

    /// The most frequent values of a column with their shares, which add up to 1; from the model file if no listing has any.
    pub(crate) fn likely(&self, column: Column, count: usize) -> Vec<Likely> {
        let agreeing: Vec<&&Listing> = self.sample.iter().filter(|listing| self.agrees(listing)).collect();
        let sample = if agreeing.len() < MIN_SAME_YEAR { self.sample.iter().collect() } else { agreeing };
        let values = sample.into_iter().filter_map(|listing| listing.get(column).cloned());
        let frequent = most_frequent(values.map(|value| vec![value]), count);
        let frequent =
            frequent.into_iter().filter_map(|(value, count)| Some((value.into_iter().next()?, as_f64(count))));
        let mut likely: Vec<(Value, f64)> = frequent.collect();
        if likely.is_empty() {
            likely = self.likely_in_training(column, count);
        }
        let total: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let share = |(value, weight)| Likely { value, share: weight / total };
        likely.into_iter().filter(|(_, weight)| *weight > 0.0).map(share).collect()
    }

    /// The most frequent values of a column in the training data, with their weights.
    fn likely_in_training(&self, column: Column, count: usize) -> Vec<(Value, f64)> {
        let signature = self.model.signature();
        let Some(reference) = &signature.reference else { return Vec::new() };
        let features = signature.schema.categorical.iter().zip(&reference.categorical);
        for (feature, distribution) in features {
            if feature.columns.last().is_none_or(|last| last != column.name()) {
                continue;
            }
            let leading: Vec<Option<&str>> =
                feature.columns.iter().map(|name| self.car.text(Column::from_name(name)?)).collect();
            let texts = distribution.ids.iter().zip(&distribution.shares).filter_map(|(id, share)| {
                let key = feature.values.get(usize::try_from(*id - 1).ok()?)?;
                let (last, known) = key.split_last()?;
                let is_possible = known.iter().zip(&leading).all(|(text, stated)| *stated == Some(text.as_str()));
                is_possible.then(|| (Value::Text(last.clone()), *share))
            });
            return texts.take(count).collect();
        }
        let mut numbers = signature.schema.numeric.iter().zip(&reference.numeric);
        let Some((_, distribution)) = numbers.find(|(feature, _)| feature.name == column.name()) else {
            return Vec::new();
        };
        // The edges are deciles, so these are values from the middle of equally likely parts.
        let edges = &distribution.edges;
        let parts = (0..count).filter_map(|part| edges.get((2 * part + 1) * edges.len() / (2 * count)));
        parts.map(|edge| (Value::Number(f64::from(*edge)), 1.0)).collect()
    }

    /// Whether a listing has the engine, gearbox and so on of the car, as far as both state them.
    fn agrees(&self, listing: &Listing) -> bool {
        VARIANT_COLUMNS.iter().all(|column| match (listing.get(*column), self.car.get(*column)) {
            (Some(_), Some(_)) => has_equal(listing, &self.car, *column),
            _ => true,
        })
    }

    fn most_frequent(&self, column: Column) -> Option<Value> {
        let values = self.sample.iter().filter_map(|listing| listing.get(column).cloned());
        most_frequent(values.map(|value| vec![value]), 1).into_iter().next()?.0.into_iter().next()
    }
}

/// The years that a car has been in use on a day.
pub(crate) fn years_of_use(day: NaiveDate, listing: &Listing) -> f64 {
    // A car is sold half a year after the start of its year on average.
    listing.number(Column::Year).map_or(MIN_AGE, |year| (age(day, year) - 0.5).max(MIN_AGE))
}

/// The most frequent combinations of values with their counts, in an order that depends on nothing else.
fn most_frequent<V: IntoIterator<Item = Value> + AsRef<[Value]>>(
    combinations: impl Iterator<Item = V>,
    count: usize,
) -> Vec<(V, usize)> {
    let mut counts: BTreeMap<Vec<(String, u64)>, (V, usize)> = BTreeMap::new();
    for combination in combinations {
        let key = combination.as_ref().iter().map(sort_key).collect();
        counts.entry(key).or_insert((combination, 0)).1 += 1;
    }
    let mut counts: Vec<(V, usize)> = counts.into_values().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(count);
    counts
}

/// Equal for equal values.
fn sort_key(value: &Value) -> (String, u64) {
    match value {
        Value::Text(text) => (text.clone(), 0),
        // Nonnegative numbers are in the order of their bits.
        Value::Number(number) => (String::new(), number.to_bits()),
        Value::Date(date) => (String::new(), days_since_epoch(*date).to_bits()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of listings")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::serving::models::Served;
    use crate::tests::fixture::{self, today};

    fn served() -> std::sync::Arc<Served> {
        fixture::served(&fixture::state(Config::default()))
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    /// A Kia Rio with this year, mileage and engine, listed today.
    fn rio(year: f64, mileage: f64, engine: Option<(f64, f64)>) -> Listing {
        let mut listing = Listing::default();
        listing.set(Column::Brand, Some(text("kia")));
        listing.set(Column::Model, Some(text("rio")));
        listing.set(Column::Year, Some(Value::Number(year)));
        listing.set(Column::Mileage, Some(Value::Number(mileage)));
        listing.set(Column::EngineVolume, engine.map(|(volume, _)| Value::Number(volume)));
        listing.set(Column::EnginePower, engine.map(|(_, power)| Value::Number(power)));
        listing.set(Column::ListingDate, Some(Value::Date(today())));
        listing
    }

    #[tokio::test]
    async fn combinations_occur_together() {
        let served = served();
        let engines = [(1.4, 100.0), (1.4, 100.0), (1.6, 123.0), (1.6, 107.0), (1.6, 106.0)];
        let sample: Vec<Listing> = engines.into_iter().map(|engine| rio(2018.0, 1.0, Some(engine))).collect();
        let usual = UsualValues::new(&served.model, &rio(2018.0, 5.0, None), &sample);
        let columns = [Column::EngineVolume, Column::EnginePower];
        assert_eq!(usual.combination(&columns), [1.4, 100.0].map(|number| Some(Value::Number(number))));
        assert_eq!(
            usual.combination(&[Column::EngineVolume]),
            [Some(Value::Number(1.6))],
            "alone, 1.6 is more frequent"
        );
        assert_eq!(usual.combination(&[Column::Color]), [None]);
        let likely = usual.likely(Column::EngineVolume, 3);
        let shares: Vec<_> = likely.iter().map(|likely| (likely.value.clone(), likely.share)).collect();
        assert_eq!(shares, [(Value::Number(1.6), 0.6), (Value::Number(1.4), 0.4)]);
    }

    #[tokio::test]
    async fn mileages_are_scaled_to_the_age_on_the_day() {
        let served = served();
        let mut sample = vec![rio(2018.0, 83_000.0, None); 11];
        // The same cars, three years earlier.
        let then = today().checked_sub_months(chrono::Months::new(36)).unwrap();
        for listing in &mut sample {
            listing.set(Column::ListingDate, Some(Value::Date(then)));
        }
        let usual = UsualValues::new(&served.model, &rio(2018.0, 5.0, None), &sample);
        assert_eq!((usual.mileage(then), usual.mileage(today())), (83_000.0, 129_000.0));
        let without_listings = UsualValues::new(&served.model, &rio(2018.0, 5.0, None), &[]);
        assert_eq!((without_listings.mileage(today()), without_listings.listings()), (126_000.0, 0));
    }

    #[tokio::test]
    async fn other_years_supplement_few_listings_and_the_car_itself_is_left_out() {
        let served = served();
        let car = rio(2018.0, 83_000.0, Some((1.6, 123.0)));
        let sample = [rio(2018.0, 83_000.0, None), rio(2018.0, 1.0, None), rio(2017.0, 1.0, None)];
        assert_eq!(UsualValues::new(&served.model, &car, &sample).listings(), 2);
        let sample = vec![rio(2018.0, 1.0, None); 10].into_iter().chain([rio(2017.0, 1.0, None)]);
        let sample: Vec<Listing> = sample.collect();
        assert_eq!(UsualValues::new(&served.model, &car, &sample).listings(), 10);
    }

    #[tokio::test]
    async fn without_listings_values_come_from_the_training_data() {
        let served = served();
        let usual = UsualValues::new(&served.model, &rio(2018.0, 1.0, None), &[]);
        let models: Vec<Value> = usual.likely(Column::Model, 3).into_iter().map(|likely| likely.value).collect();
        assert_eq!(models, [text("ceed"), text("rio")], "models of the make only");
        let volumes: Vec<Value> =
            usual.likely(Column::EngineVolume, 3).into_iter().map(|likely| likely.value).collect();
        assert_eq!(volumes, [5.0, 11.0, 17.0].map(Value::Number));
        assert!(usual.likely(Column::Color, 3).is_empty());
    }
}
