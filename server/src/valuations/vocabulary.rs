//! The values known to the model in service.

use axum::Json;
use axum::extract::{Query, State as Extracted};
use domain::cell::shorten;
use domain::feature::FeatureSchema;
use domain::vocabulary::nearest;
use domain::{Column, Market};
use serde::{Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::openapi::VocabularyProblems;
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::state::State;

/// The filters of the vocabulary.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VocabularyQuery {
    /// The task whose model to look into, one of `/v1/tasks`; by default that of the server.
    #[param(example = "price", nullable = false)]
    task: Option<String>,
    /// Only models and generations of this make.
    #[param(example = "kia", nullable = false)]
    brand: Option<String>,
    /// Only generations of this model, of any make without `brand`.
    #[param(example = "rio", nullable = false)]
    model: Option<String>,
}

/// The known values of each text column, in lower case. A listing may write them in any case.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vocabulary {
    /// The version of the model.
    #[schema(example = 3)]
    model_version: i64,
    /// The values by column, sorted.
    #[schema(
        value_type = std::collections::BTreeMap<String, Vec<String>>,
        example = json!({ "brand": ["kia", "toyota"], "model": ["ceed", "rio"], "drive": ["задний", "передний", "полный"] })
    )]
    values: Values,
}

/// Lists known values
///
/// The texts known to the model in service, by column, for example for a form. Any other text is accepted in a listing with a
/// warning.
#[utoipa::path(
    get, path = "/v1/vocabulary", operation_id = "get_vocabulary", tag = "valuations", params(VocabularyQuery),
    responses((status = 200, description = "The known values", body = Vocabulary), VocabularyProblems)
)]
pub(crate) async fn get_vocabulary(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vocabulary>, Problem> {
    let query = VocabularyQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let schema = &served.model.signature().schema;
    let leading = leading_texts(schema, served.market(), query)?;
    let values = Values(schema.known_texts(&leading));
    Ok(Json(Vocabulary { model_version: served.version, values }))
}

impl VocabularyQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        read_pairs(pairs, |name, value| {
            match name {
                TASK => query.task = Some(value.to_owned()),
                "brand" => query.brand = Some(value.to_owned()),
                "model" => query.model = Some(value.to_owned()),
                _ => return Err(FieldError::unknown_parameter(name)),
            }
            Ok(())
        })?;
        Ok(query)
    }
}

/// The canonical make and model to filter by; `None` if not specified.
fn leading_texts(
    schema: &FeatureSchema,
    market: &Market,
    query: VocabularyQuery,
) -> Result<Vec<Option<String>>, Problem> {
    let mut leading = Vec::new();
    for (column, text) in [(Column::Brand, query.brand), (Column::Model, query.model)] {
        let Some(text) = text else {
            leading.push(None);
            continue;
        };
        let text = market.canonical(column, &text);
        let feature = schema.categorical.iter().find(|feature| feature.name == column.name());
        let known = feature.map(|feature| feature.known_texts(&leading)).unwrap_or_default();
        if !known.contains(&text) {
            return Err(Problem::NotFound { detail: unknown(column, &text, &known) });
        }
        leading.push(Some(text));
    }
    Ok(leading)
}

fn unknown(column: Column, text: &str, known: &[String]) -> String {
    let shown = shorten(text);
    let hint = nearest(text, known.iter().map(String::as_str));
    let hint = hint.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
    format!("{} {shown:?} is not known{hint}", column.name())
}

/// The values by column, serialized as an object in the order of the columns.
#[derive(Debug)]
struct Values(Vec<(Column, Vec<String>)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(column, values)| (column.name(), values)))
    }
}
