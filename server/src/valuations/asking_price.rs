//! Where an asking price lies among those of such cars.

use serde::Serialize;
use utoipa::ToSchema;

use super::cents::round_to_cents;
use super::distribution::Distribution;

/// Where the given asking price lies among those of such cars.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct AskingPrice {
    /// The asking price.
    pub(crate) price: f64,
    /// The share of such cars that are offered for less, according to `quantiles`; beyond these it is extrapolated.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub(crate) share_below: f64,
    /// How much more it is than the expected price.
    pub(crate) difference: f64,
    /// The rating; null if there is none, for the reason in `code`.
    #[schema(required = true)]
    pub(crate) rating: Option<Rating>,
    /// Whether the price is rated, or why not.
    pub(crate) code: RatingCode,
    /// Half of such cars are offered for a price that differs from the expected one by less than this fraction of it.
    pub(crate) spread: f64,
    /// The rating, or why there is none, in a sentence.
    pub(crate) message: String,
}

/// How an asking price compares with those of such cars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "above")]
pub(crate) enum Rating {
    /// Less than 5 % of such cars are offered for less: check why.
    FarBelow,
    /// 5 to 25 %.
    Below,
    /// 25 to 75 %.
    Fair,
    /// 75 to 95 %.
    Above,
    /// More than 95 %.
    FarAbove,
}

/// Whether an asking price is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "rated")]
pub(crate) enum RatingCode {
    /// It is rated.
    Rated,
    /// The model does not know the make or the model of the car.
    UnknownCar,
    /// The range of such cars is too wide for a rating to mean anything.
    RangeTooWide,
}

/// The maximum spread with which prices are rated.
const MAX_SPREAD: f64 = 0.25;

/// Rates an asking price. `price` is the expected price of the car, and `is_known` whether the model knows its make and model.
pub(crate) fn rate(asking_price: f64, price: f64, distribution: Distribution<'_>, is_known: bool) -> AskingPrice {
    let share = distribution.share_below(asking_price);
    let spread = distribution.spread();
    let code = match () {
        () if !is_known => RatingCode::UnknownCar,
        () if spread > MAX_SPREAD => RatingCode::RangeTooWide,
        () => RatingCode::Rated,
    };
    let rating = (code == RatingCode::Rated).then(|| Rating::of(share));
    let message = match (code, rating) {
        (RatingCode::UnknownCar, _) => {
            "the price is not rated, since the make or the model of the car is not known".to_owned()
        }
        (_, None) => format!(
            "the price is not rated, since the prices of such cars differ too much: half of them by more than {:.0} % from \
             the expected price",
            100.0 * spread
        ),
        (_, Some(rating)) => format!(
            "{asking_price} is {} the expected price: {:.0} % of such cars are offered for less",
            rating.words(),
            100.0 * share
        ),
    };
    AskingPrice {
        price: asking_price,
        share_below: (share * 10_000.0).round() / 10_000.0,
        difference: round_to_cents(asking_price - price),
        rating,
        code,
        spread: (spread * 10_000.0).round() / 10_000.0,
        message,
    }
}

impl Rating {
    fn of(share: f64) -> Self {
        match share {
            share if share < 0.05 => Self::FarBelow,
            share if share < 0.25 => Self::Below,
            share if share <= 0.75 => Self::Fair,
            share if share <= 0.95 => Self::Above,
            _ => Self::FarAbove,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::FarBelow => "far below",
            Self::Below => "below",
            Self::Fair => "near",
            Self::Above => "above",
            Self::FarAbove => "far above",
        }
    }
}

/// An example for the API document.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "price": 1_490_000.0, "share_below": 0.9047, "difference": 171_599.75, "rating": "above", "code": "rated",
        "spread": 0.063, "message": "1490000 is above the expected price: 90 % of such cars are offered for less"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

    fn rated(asking_price: f64, step: f64) -> AskingPrice {
        let prices = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|steps| 1000.0 + steps * step);
        rate(asking_price, 1000.0, Distribution { levels: &LEVELS, prices: &prices }, true)
    }

    #[test]
    fn prices_are_rated_by_the_share_of_lower_ones() {
        let ratings = [700.0, 850.0, 1000.0, 1150.0, 1300.0].map(|price| rated(price, 100.0).rating.unwrap());
        assert_eq!(ratings, [Rating::FarBelow, Rating::Below, Rating::Fair, Rating::Above, Rating::FarAbove]);
        let above = rated(1150.0, 100.0);
        assert_eq!((above.difference, above.spread, above.code), (150.0, 0.1, RatingCode::Rated));
        assert_eq!(above.message, "1150 is above the expected price: 85 % of such cars are offered for less");
    }

    #[test]
    fn prices_in_a_wide_range_or_of_unknown_cars_are_not_rated() {
        let wide = rated(1000.0, 300.0);
        assert_eq!((wide.rating, wide.code, wide.share_below), (None, RatingCode::RangeTooWide, 0.5));
        assert!(wide.message.ends_with("by more than 30 % from the expected price"), "{}", wide.message);
        let distribution = Distribution { levels: &LEVELS, prices: &[1000.0; 5] };
        assert_eq!(rate(1000.0, 1000.0, distribution, false).code, RatingCode::UnknownCar);
    }
}
