//! What a valuation has besides the price. All variants of the car that this takes are valued in one batch, so everything in an
//! answer is of one version of the model.

use chrono::NaiveDate;
use domain::{Column, Listing, Valuation};
use onnx_model::{Model, Signature};
use storage::{SimilarListing, SimilarListings};

use super::asking_price::{self, AskingPrice};
use super::comparables::{self, Comparable};
use super::confidence::Confidence;
use super::curves::{self, CurvePlan, Curves};
use super::distribution::Distribution;
use super::factors::{Baseline, Explanation, Factor, MAX_GROUPS};
use super::narrow::{self, MAX_ANSWERS, MAX_QUESTIONS, Narrowing, Question};
use super::query::{MAX_COMPARABLES, OneQuery};
use super::usual::UsualValues;

/// The maximum number of rows of the graph for a valuation with everything.
const MAX_ROWS: usize = 320;

/// The car itself is one of the coalitions.
const _: () = assert!(
    (1 << MAX_GROUPS)
        + MAX_QUESTIONS * MAX_ANSWERS
        + (curves::MILEAGE_POINTS + curves::HISTORY_POINTS) as usize
        + curves::YEARS_AHEAD.len()
        + MAX_COMPARABLES as usize
        <= MAX_ROWS
);

/// What was asked for besides the price.
#[derive(Debug)]
pub(crate) struct Extras {
    pub(crate) confidence: Confidence,
    pub(crate) explanation: Option<(Baseline, Vec<Factor>)>,
    pub(crate) comparables: Option<Vec<Comparable>>,
    pub(crate) comparables_are_unavailable: bool,
    pub(crate) narrow: Option<Vec<Narrowing>>,
    pub(crate) curves: Option<Curves>,
    pub(crate) asking_price: Option<AskingPrice>,
}

/// The extras of a car before its variants are valued.
#[derive(Debug)]
pub(crate) struct Plan {
    car: Listing,
    /// The number of fields that the model knows, besides the date.
    fields: usize,
    /// Whether the model knows the make and the model.
    is_known: bool,
    asking_price: Option<f64>,
    similar_listings: Option<u64>,
    explanation: Option<Explanation>,
    questions: Option<Vec<Question>>,
    curves: Option<CurvePlan>,
    /// With the car to compare them with: dated, and without the texts that the model does not know.
    comparables: Option<(Listing, Vec<SimilarListing>)>,
    comparables_are_unavailable: bool,
}

/// Whether listings of similar cars are needed: for any extra, since the confidence then tells their number. A price alone does
/// without the database.
pub(crate) fn need_similar_listings(query: &OneQuery) -> bool {
    query.explain || query.narrow || query.curves || query.comparables > 0 || query.asking_price.is_some()
}

impl Plan {
    /// Plans the extras that a query asks for; `similar` is `None` if listings of similar cars are not needed or not available.
    /// Returns the cars to value as well: first the car itself, then its variants.
    pub(crate) fn new(
        model: &Model,
        car: Listing,
        query: &OneQuery,
        today: NaiveDate,
        similar: Option<SimilarListings>,
    ) -> (Self, Vec<Listing>) {
        let day = car.date().unwrap_or(today);
        let unknown = model.unknown_columns(&car);
        let is_stated = |column: Column| car.get(column).is_some() && !unknown.contains(&column);
        let is_available = similar.is_some();
        let similar_listings = similar.as_ref().map(|similar| similar.count);
        let SimilarListings { sample, comparables, .. } = similar.unwrap_or_default();
        let usual = UsualValues::new(model, &car, &sample);
        let explanation = query.explain.then(|| Explanation::new(&car, &usual, day, is_stated));
        let questions = query.narrow.then(|| narrow::questions(&usual, is_stated));
        let mut known = car.clone().with_default_date(day);
        for column in &unknown {
            known.set(*column, None);
        }
        let fields = Column::descriptive().iter().filter(|column| is_stated(**column));
        let plan = Self {
            fields: fields.filter(|column| **column != Column::ListingDate).count(),
            is_known: is_stated(Column::Brand) && is_stated(Column::Model),
            asking_price: query.asking_price,
            similar_listings,
            explanation,
            questions,
            curves: query.curves.then(|| CurvePlan::new(&car, day, model)),
            comparables: (query.comparables > 0 && is_available).then_some((known, comparables)),
            comparables_are_unavailable: query.comparables > 0 && !is_available,
            car,
        };
        let listings = plan.listings();
        (plan, listings)
    }

    fn listings(&self) -> Vec<Listing> {
        let mut listings = vec![self.car.clone()];
        listings.extend(self.explanation.iter().flat_map(|explanation| explanation.variants(&self.car)));
        listings.extend(self.questions.iter().flat_map(|questions| narrow::variants(questions, &self.car)));
        listings.extend(self.curves.iter().flat_map(|curves| curves.variants(&self.car)));
        if let Some((car, comparables)) = &self.comparables {
            listings.extend(comparables.iter().map(|comparable| comparables::variant(comparable, car)));
        }
        listings
    }

    /// The extras, given the valuation of the car and those of the variants in their order.
    pub(crate) fn extras(
        self,
        signature: &Signature,
        own: &Valuation,
        valuations: &mut impl Iterator<Item = Valuation>,
    ) -> Extras {
        let distribution = Distribution { levels: &signature.quantiles, prices: &own.quantiles };
        let explanation = self.explanation.map(|explanation| {
            let mut prices = valuations.by_ref().map(|valuation| valuation.price);
            explanation.factors(own.price, &mut prices)
        });
        let narrow = self.questions.map(|questions| narrow::narrowings(questions, own, valuations));
        let curves = self.curves.map(|curves| curves.curves(own, valuations));
        let comparables = self.comparables.map(|(car, comparables)| {
            comparables::adjust(comparables, &car, &signature.task.market, own.price, valuations)
        });
        let rate = |asking_price| asking_price::rate(asking_price, own.price, distribution, self.is_known);
        Extras {
            confidence: Confidence::new(signature, distribution, self.fields, self.similar_listings),
            explanation,
            comparables,
            comparables_are_unavailable: self.comparables_are_unavailable,
            narrow,
            curves,
            asking_price: self.asking_price.map(rate),
        }
    }
}
