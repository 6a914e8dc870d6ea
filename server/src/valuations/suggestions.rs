//! Makes, models and generations that a text may mean, for a form.

use axum::Json;
use axum::extract::{Query, State as Extracted};
use domain::Column;
use domain::cell::shorten;
use domain::generation::group_generations;
use domain::names::{Likeness, Names};
use onnx_model::names::Suggested;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::openapi::SuggestionProblems;
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::serving::models::Served;
use crate::state::State;

/// What to suggest.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SuggestionsQuery {
    /// The task whose model to look into, one of `/v1/tasks`; by default that of the server.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
    /// The field that is being filled in.
    #[param(inline, required = true)]
    field: SuggestedField,
    /// What was typed so far, in any alphabet, at most 200 characters. Without it, the most frequent names are suggested.
    #[param(required = false, max_length = 200, example = "камр")]
    text: String,
    /// The make, for models and generations.
    #[param(required = false, nullable = false, example = "toyota")]
    brand: Option<String>,
    /// The model, for generations.
    #[param(required = false, nullable = false, example = "camry")]
    model: Option<String>,
    /// How many suggestions to return at most.
    #[param(required = false, default = 10, minimum = 1, maximum = 50)]
    limit: usize,
}

/// A field with suggestions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum SuggestedField {
    /// Makes, and models of any make.
    #[default]
    Brand,
    /// Models of the make.
    Model,
    /// Generations of the model.
    VehicleGeneration,
}

/// What the text may mean, the likeliest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Suggestions {
    /// The version of the model.
    #[schema(example = 3)]
    model_version: i64,
    /// The suggestions.
    suggestions: Vec<Suggestion>,
}

/// Values of fields that may be meant, in lower case as the model knows them.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Suggestion {
    /// The make.
    #[schema(example = "toyota")]
    brand: String,
    /// The model; absent from suggestions of makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "camry")]
    model: Option<String>,
    /// The generation; in suggestions of generations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "viii (xv70)")]
    vehicle_generation: Option<String>,
    /// How like the text it is.
    likeness: SuggestionLikeness,
}

/// How like a text a suggestion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SuggestionLikeness {
    /// It has the same letters or sounds the same, possibly in another alphabet.
    Same,
    /// It, or a word of it, starts with the text.
    Beginning,
    /// It differs by a letter or two.
    Similar,
}

/// Suggests makes, models and generations
///
/// Names that a text may mean, while it is being typed or if a car has an unknown one: by their beginnings, with typing errors, and
/// in the Latin or the Cyrillic alphabet. A text for a make may name a model too, such as "Kya Rio". Suggested are only names that the
/// model knows; each generation once, though sources may spell it differently.
#[utoipa::path(
    get, path = "/v1/suggestions", operation_id = "get_suggestions", tag = "valuations", params(SuggestionsQuery),
    responses((status = 200, description = "The suggestions", body = Suggestions), SuggestionProblems)
)]
pub(crate) async fn get_suggestions(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Suggestions>, Problem> {
    let query = SuggestionsQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    Ok(Json(Suggestions { model_version: served.version, suggestions: query.find(&served) }))
}

/// The default of `limit`.
const LIMIT: usize = 10;
/// The maximum of `limit`.
const MAX_LIMIT: usize = 50;
/// The maximum length of `text`.
const MAX_CHARS: usize = 200;

impl SuggestionsQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self { limit: LIMIT, ..Self::default() };
        let mut has_field = false;
        read_pairs(pairs, |name, value| {
            match name {
                TASK => query.task = Some(value.to_owned()),
                "field" => {
                    has_field = true;
                    query.field = read_field(value)?;
                }
                "text" if value.chars().count() > MAX_CHARS => {
                    let msg = format!("text must be at most {MAX_CHARS} characters long");
                    return Err(FieldError::in_query(name, msg, "too_long"));
                }
                "text" => value.clone_into(&mut query.text),
                "brand" => query.brand = Some(value.to_owned()),
                "model" => query.model = Some(value.to_owned()),
                "limit" => query.limit = read_limit(value)?,
                _ => return Err(FieldError::unknown_parameter(name)),
            }
            Ok(())
        })?;
        if has_field {
            return Ok(query);
        }
        Err(FieldError::in_query("field", format!("field is required: {FIELDS}"), "missing").into())
    }

    fn find(&self, served: &Served) -> Vec<Suggestion> {
        let brand = self.brand.as_deref().and_then(|brand| served.names.make(brand, served.market()));
        match self.field {
            SuggestedField::Brand => {
                served.names.makes(&self.text, self.limit).into_iter().map(Suggestion::of).collect()
            }
            SuggestedField::Model => {
                let found = served.names.models(brand, &self.text, self.limit);
                found.into_iter().map(Suggestion::of).collect()
            }
            SuggestedField::VehicleGeneration => {
                let model = self.model.as_deref();
                let car = brand.and_then(|brand| Some((brand, served.names.model(brand, model?, served.market())?)));
                car.map(|(brand, model)| self.generations(served, brand, model)).unwrap_or_default()
            }
        }
    }

    fn generations(&self, served: &Served, brand: &str, model: &str) -> Vec<Suggestion> {
        let groups = known_generations(served, brand, model);
        let found =
            Names::new(groups.iter().map(|group| group.iter().map(String::as_str))).search(&self.text, self.limit);
        let suggestion = |found: &domain::names::Found| Suggestion {
            brand: brand.to_owned(),
            model: Some(model.to_owned()),
            vehicle_generation: groups[found.name].first().cloned(),
            likeness: found.likeness.into(),
        };
        found.iter().map(suggestion).collect()
    }
}

/// The generations of a model that the model file knows, each with its spellings.
pub(super) fn known_generations(served: &Served, brand: &str, model: &str) -> Vec<Vec<String>> {
    let leading = [Some(brand.to_owned()), Some(model.to_owned())];
    let features = &served.model.signature().schema.categorical;
    let generations = features.iter().find(|feature| feature.name == Column::VehicleGeneration.name());
    let spellings = generations.map(|feature| feature.known_texts(&leading)).unwrap_or_default();
    let groups = group_generations(&spellings).into_iter();
    groups.map(|group| group.into_iter().map(|index| spellings[index].clone()).collect()).collect()
}

const FIELDS: &str = "brand, model or vehicle_generation";

fn read_field(value: &str) -> Result<SuggestedField, FieldError> {
    match value {
        "brand" => Ok(SuggestedField::Brand),
        "model" => Ok(SuggestedField::Model),
        "vehicle_generation" => Ok(SuggestedField::VehicleGeneration),
        _ => {
            let msg = format!("field must be {FIELDS} (got {:?})", shorten(value));
            Err(FieldError::in_query("field", msg, "unknown_field"))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn read_limit(value: &str) -> Result<usize, FieldError> {
    value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        let msg = format!("limit must be a whole number from 1 to {MAX_LIMIT} (got {:?})", shorten(value));
        FieldError::in_query("limit", msg, "out_of_range").within(1.0, MAX_LIMIT as f64)
    })
}

impl Suggestion {
    fn of(Suggested { brand, model, likeness }: Suggested) -> Self {
        Self { brand, model, vehicle_generation: None, likeness: likeness.into() }
    }
}

impl From<Likeness> for SuggestionLikeness {
    fn from(likeness: Likeness) -> Self {
        match likeness {
            Likeness::Same | Likeness::SameSound => Self::Same,
            Likeness::Beginning | Likeness::LaterWord => Self::Beginning,
            Likeness::Similar(_) => Self::Similar,
        }
    }
}
