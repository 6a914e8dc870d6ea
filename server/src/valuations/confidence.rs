//! How certain a price is, in words.

use chrono::NaiveDate;
use onnx_model::Signature;
use serde::Serialize;
use utoipa::ToSchema;

use super::distribution::Distribution;

/// How certain the price is, and why.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Confidence {
    /// The degree.
    pub(crate) code: ConfidenceCode,
    /// The number of listings of the same make and model, of the same year give or take one. Null if they were not looked up: a
    /// price without extras does without the database, which may also be unavailable.
    #[schema(required = true)]
    pub(crate) similar_listings: Option<u64>,
    /// The date of the newest listing that the model learned from; null if its listings had no dates.
    #[schema(required = true, value_type = Option<String>, format = Date)]
    pub(crate) market_as_of: Option<NaiveDate>,
    /// The median error of the model on held-out listings with as many fields, as a fraction of the price; null if it was not
    /// measured.
    #[schema(required = true)]
    pub(crate) typical_error: Option<f64>,
    /// Half of such cars are offered for a price that differs from the expected one by less than this fraction of it.
    pub(crate) spread: f64,
    /// The degree and its reasons in a sentence.
    pub(crate) message: String,
}

/// How certain a price is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "high")]
pub(crate) enum ConfidenceCode {
    /// The spread is above 18 %.
    Low,
    /// The spread is at most 18 %.
    Medium,
    /// The spread is at most 10 %, and there are at least five similar listings, as far as they were looked up.
    High,
}

const MAX_HIGH_SPREAD: f64 = 0.10;
const MAX_MEDIUM_SPREAD: f64 = 0.18;
const MIN_HIGH_LISTINGS: u64 = 5;

impl Confidence {
    /// The confidence in a price with this distribution, for a car with some stated fields.
    pub(crate) fn new(
        signature: &Signature,
        distribution: Distribution<'_>,
        fields: usize,
        similar_listings: Option<u64>,
    ) -> Self {
        let spread = distribution.spread();
        let is_rare = similar_listings.is_some_and(|listings| listings < MIN_HIGH_LISTINGS);
        let code = match () {
            () if spread <= MAX_HIGH_SPREAD && !is_rare => ConfidenceCode::High,
            () if spread <= MAX_MEDIUM_SPREAD => ConfidenceCode::Medium,
            () => ConfidenceCode::Low,
        };
        let market_as_of = signature.run.market_as_of;
        let typical_error = typical_error(signature, fields);
        let mut reasons = Vec::new();
        match similar_listings {
            Some(1) => reasons.push("1 similar listing".to_owned()),
            Some(count) => reasons.push(format!("{count} similar listings")),
            None => {}
        }
        reasons.extend(market_as_of.map(|day| format!("market of {}", day.format("%B %Y"))));
        reasons.extend(typical_error.map(|error| format!("typical error {:.0} %", 100.0 * error)));
        let degree = match code {
            ConfidenceCode::High => "high confidence",
            ConfidenceCode::Medium => "medium confidence",
            ConfidenceCode::Low => "low confidence",
        };
        let message = if reasons.is_empty() { degree.to_owned() } else { format!("{degree}: {}", reasons.join(", ")) };
        Self { code, similar_listings, market_as_of, typical_error, spread: round(spread), message }
    }
}

/// The median error of the form with the most fields of which the car has at least as many.
fn typical_error(signature: &Signature, fields: usize) -> Option<f64> {
    let card = signature.accuracy.as_ref()?;
    let forms = card.forms.iter().filter(|form| form.fields.is_some_and(|needed| needed <= fields));
    let form = forms.max_by_key(|form| form.fields).map(|form| &form.accuracy);
    Some(round(form.unwrap_or(&card.overall).median_ape))
}

fn round(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

/// An example for the API document.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "code": "high", "similar_listings": 20, "market_as_of": "2026-03-17", "typical_error": 0.09, "spread": 0.063,
        "message": "high confidence: 20 similar listings, market of March 2026, typical error 9 %"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tests::fixture;

    #[tokio::test]
    async fn the_degree_depends_on_spread_and_listings() {
        let state = fixture::state(Config::default());
        let served = fixture::served(&state);
        let confidence = |spread: f64, listings| {
            let prices = [1.0 - spread, 1.0, 1.0 + spread].map(|factor| 1000.0 * factor);
            let distribution = Distribution { levels: &[0.25, 0.5, 0.75], prices: &prices };
            Confidence::new(served.model.signature(), distribution, 9, listings)
        };
        assert_eq!(confidence(0.05, None).message, "high confidence");
        assert_eq!(confidence(0.05, Some(1)).message, "medium confidence: 1 similar listing");
        assert_eq!(confidence(0.15, Some(20)).code, ConfidenceCode::Medium);
        assert_eq!(confidence(0.3, Some(20)).message, "low confidence: 20 similar listings");
    }
}
