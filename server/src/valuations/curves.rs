//! The price of the same car with another mileage, in some years, and on earlier days.

use chrono::{Datelike, Months, NaiveDate};
use domain::{Column, Listing, Market, Reading, Valuation, Value};
use onnx_model::Model;
use serde::Serialize;
use utoipa::ToSchema;

use super::cents::round_to_cents;
use super::usual::{YEARLY_MILEAGE, years_of_use};

/// What the car would be worth if its mileage or its day were another one. All ranges are of the level of the valuation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Curves {
    /// The kilometers per year that `years_ahead` assumes: those of the car so far, within what is plausible.
    pub(crate) yearly_mileage: u32,
    /// The price over mileage, with the mileage of the car among them.
    pub(crate) mileage: Vec<CurvePoint>,
    /// The price now and in some years, if the car is driven on as assumed.
    pub(crate) years_ahead: Vec<CurvePoint>,
    /// The price of the same car, with the same mileage, on earlier days within the data that the model learned from; empty if
    /// these have no dates.
    pub(crate) history: Vec<CurvePoint>,
}

/// The price of the car with a mileage on a day.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CurvePoint {
    /// The number of years ahead; only in `years_ahead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub(crate) years: Option<u32>,
    /// The mileage in the unit of the market.
    #[schema(example = 93_000)]
    pub(crate) mileage: u32,
    /// The day of the price.
    #[schema(value_type = String, format = Date)]
    pub(crate) date: NaiveDate,
    /// The expected asking price.
    #[schema(example = 1_251_900.0)]
    pub(crate) price: f64,
    /// Lower end of its interval.
    #[schema(example = 1_020_400.0)]
    pub(crate) low: f64,
    /// Upper end of its interval.
    #[schema(example = 1_488_700.5)]
    pub(crate) high: f64,
}

/// The number of mileages, besides that of the car.
pub(crate) const MILEAGE_POINTS: u32 = 8;
/// The years ahead, besides now.
pub(crate) const YEARS_AHEAD: [u32; 4] = [1, 2, 3, 5];
/// The maximum number of earlier days.
pub(crate) const HISTORY_POINTS: u32 = 8;
/// The plausible kilometers per year.
const YEARLY_MILEAGES: (f64, f64) = (3_000.0, 50_000.0);
/// The mileages of a curve are multiples of this.
const MILEAGE_STEP: f64 = 2_500.0;
/// The last year of a date.
const MAX_YEAR: i32 = 2099;

/// The variants of a car to value for its curves.
#[derive(Debug)]
pub(crate) struct CurvePlan {
    market: Market,
    yearly_mileage: f64,
    own: CurveInput,
    mileage: Vec<CurveInput>,
    years_ahead: Vec<CurveInput>,
    history: Vec<CurveInput>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct CurveInput {
    years: Option<u32>,
    mileage: f64,
    date: NaiveDate,
}

impl CurvePlan {
    /// The curves of a car as of a day.
    pub(crate) fn new(car: &Listing, day: NaiveDate, model: &Model) -> Self {
        let mileage = car.number(Column::Mileage).unwrap_or_default();
        let own = CurveInput { years: None, mileage, date: day };
        let years = years_of_use(day, car);
        let usual = YEARLY_MILEAGE * years.max(1.0);
        // The first year tells little about the others.
        let yearly = if years < 1.0 { YEARLY_MILEAGE } else { mileage / years };
        let yearly_mileage = (yearly.clamp(YEARLY_MILEAGES.0, YEARLY_MILEAGES.1) / 100.0).round() * 100.0;
        let market = model.signature().task.market.clone();
        let reading = Reading { market: &market, year: day.year() };
        let (_, max) = reading.bounds(Column::Mileage).unwrap_or((0.0, f64::MAX));
        let step = (2.0 * mileage.max(usual) / f64::from(MILEAGE_POINTS) / MILEAGE_STEP).ceil() * MILEAGE_STEP;
        let step = step.min(max / f64::from(MILEAGE_POINTS));
        let ahead = |years: u32| {
            let date = day.checked_add_months(Months::new(12 * years)).filter(|date| date.year() <= MAX_YEAR)?;
            let mileage = (mileage + yearly_mileage * f64::from(years)).min(max);
            Some(CurveInput { years: Some(years), mileage, date })
        };
        let history = history(model, car).into_iter().map(|date| CurveInput { date, ..own });
        Self {
            market,
            yearly_mileage,
            own,
            mileage: (1..=MILEAGE_POINTS).map(|at| CurveInput { mileage: f64::from(at) * step, ..own }).collect(),
            years_ahead: YEARS_AHEAD.into_iter().filter_map(ahead).collect(),
            history: history.collect(),
        }
    }

    /// The variants to value, in the order in which [`Self::curves`] takes their valuations.
    pub(crate) fn variants(&self, car: &Listing) -> impl Iterator<Item = Listing> {
        let inputs = self.mileage.iter().chain(&self.years_ahead).chain(&self.history);
        inputs.map(|input| {
            let mut variant = car.clone();
            variant.set(Column::Mileage, Some(Value::Number(input.mileage)));
            variant.set(Column::ListingDate, Some(Value::Date(input.date)));
            variant
        })
    }

    /// The curves, given the valuation of the car and those of the variants.
    pub(crate) fn curves(self, own: &Valuation, valuations: &mut impl Iterator<Item = Valuation>) -> Curves {
        let mut points = |inputs: Vec<CurveInput>| -> Vec<CurvePoint> {
            inputs
                .into_iter()
                .zip(&mut *valuations)
                .map(|(input, valuation)| input.point(&self.market, &valuation))
                .collect()
        };
        let mut mileage = points(self.mileage);
        let mut years_ahead = points(self.years_ahead);
        let history = points(self.history);
        let own_point = self.own.point(&self.market, own);
        if let Err(place) = mileage.binary_search_by_key(&own_point.mileage, |point| point.mileage) {
            mileage.insert(place, own_point);
        }
        years_ahead.insert(0, CurveInput { years: Some(0), ..self.own }.point(&self.market, own));
        Curves {
            yearly_mileage: whole(self.market.to_shown(Column::Mileage, self.yearly_mileage)),
            mileage,
            years_ahead,
            history,
        }
    }
}

impl CurveInput {
    fn point(self, market: &Market, valuation: &Valuation) -> CurvePoint {
        CurvePoint {
            years: self.years,
            mileage: whole(market.to_shown(Column::Mileage, self.mileage)),
            date: self.date,
            price: round_to_cents(valuation.price),
            low: round_to_cents(valuation.low),
            high: round_to_cents(valuation.high),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds of its column")]
fn whole(kilometers: f64) -> u32 {
    kilometers as u32
}

/// Days from the first tenth of the dated training data to the newest listing, from the year of the car on.
fn history(model: &Model, car: &Listing) -> Vec<NaiveDate> {
    let signature = model.signature();
    let features = signature.reference.iter().flat_map(|reference| &reference.numeric);
    let mut dates = features.filter(|feature| feature.name == Column::ListingDate.name());
    let edge = dates.next().and_then(|dates| dates.edges.first().copied());
    let (Some(edge), Some(last)) = (edge, signature.run.market_as_of) else { return Vec::new() };
    #[expect(clippy::cast_possible_truncation, reason = "days since 1970")]
    let first = NaiveDate::from_epoch_days(edge as i32);
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds of its column")]
    let made = NaiveDate::from_ymd_opt(car.number(Column::Year).unwrap_or_default() as i32, 1, 1);
    let (Some(first), Some(made)) = (first, made) else { return Vec::new() };
    let first = first.max(made);
    let days = last.signed_duration_since(first).num_days();
    if days < 0 {
        return Vec::new();
    }
    let intervals = i64::from(HISTORY_POINTS - 1);
    let mut dates: Vec<NaiveDate> =
        (0..=intervals).map(|at| first + chrono::Duration::days(days * at / intervals)).collect();
    dates.dedup();
    dates
}

/// An example for the API document.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "yearly_mileage": 10_000,
        "mileage": [
            { "mileage": 30_000, "date": "2026-11-22", "price": 1_402_300.5, "low": 1_190_100.0, "high": 1_604_800.25 },
            { "mileage": 83_000, "date": "2026-11-22", "price": 1_318_400.25, "low": 1_121_300.5, "high": 1_498_200.75 },
        ],
        "years_ahead": [
            { "years": 0, "mileage": 83_000, "date": "2026-11-22", "price": 1_318_400.25, "low": 1_121_300.5, "high": 1_498_200.75 },
            { "years": 1, "mileage": 93_000, "date": "2027-11-22", "price": 1_251_900.0, "low": 1_020_400.0, "high": 1_488_700.5 },
        ],
        "history": [
            { "mileage": 83_000, "date": "2024-03-01", "price": 1_120_700.0, "low": 960_400.0, "high": 1_301_500.5 },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tests::fixture;

    fn plan(year: f64, mileage: f64) -> (CurvePlan, Listing) {
        let state = fixture::state(Config::default());
        let served = fixture::served(&state);
        let mut car = Listing::default();
        car.set(Column::Year, Some(Value::Number(year)));
        car.set(Column::Mileage, Some(Value::Number(mileage)));
        (CurvePlan::new(&car, fixture::today(), &served.model), car)
    }

    fn valuation(price: f64) -> Valuation {
        let (today, low, high) = (fixture::today(), 0.9 * price, 1.1 * price);
        let (level, quantiles, warnings) = (0.8, Vec::new(), Vec::new());
        Valuation { price, low, high, level, quantiles, as_of: today, market_as_of: None, warnings }
    }

    #[tokio::test]
    async fn the_car_itself_is_on_both_curves() {
        let (plan, car) = plan(2018.0, 83_000.0);
        let variants: Vec<Listing> = plan.variants(&car).collect();
        assert_eq!(variants.len(), MILEAGE_POINTS as usize + YEARS_AHEAD.len());
        let curves = plan.curves(&valuation(100.0), &mut variants.iter().map(|_| valuation(50.0)));
        assert_eq!(curves.yearly_mileage, 9_900);
        let mileages: Vec<u32> = curves.mileage.iter().map(|point| point.mileage).collect();
        assert_eq!(mileages, [32_500, 65_000, 83_000, 97_500, 130_000, 162_500, 195_000, 227_500, 260_000]);
        assert_eq!((curves.mileage[2].price, curves.mileage[3].price), (100.0, 50.0));
        let ahead: Vec<_> = curves.years_ahead.iter().map(|point| (point.years.unwrap(), point.mileage)).collect();
        assert_eq!(ahead, [(0, 83_000), (1, 92_900), (2, 102_800), (3, 112_700), (5, 132_500)]);
        assert_eq!(curves.years_ahead[4].date.to_string(), "2031-11-22");
        assert_eq!(variants[11].date(), Some(curves.years_ahead[4].date));
    }

    #[tokio::test]
    async fn mileages_stay_within_their_bounds() {
        let (plan, _) = plan(2026.0, 2_000_000.0);
        assert!(plan.mileage.iter().chain(&plan.years_ahead).all(|input| input.mileage <= 2_000_000.0));
    }
}
