//! The values that the served model knows.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Query, State as Extracted};
use domain::Column;
use domain::cell::shorten;
use domain::feature::{CategoricalFeature, FeatureSchema};
use domain::synonyms::canonical;
use domain::vocabulary::nearest;
use serde::{Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use crate::problem::document::OfVocabulary;
use crate::problem::{FieldErrors, Problem};
use crate::state::State;
use crate::valuations::query::{read_pairs, unknown_parameter};

/// What narrows the answer.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VocabularyQuery {
    /// Only models and generations of this make.
    #[param(example = "kia", nullable = false)]
    brand: Option<String>,
    /// Only generations of this model, of any make unless `brand` is given.
    #[param(example = "rio", nullable = false)]
    model: Option<String>,
}

/// The known values of each text column. They are in lower case; a listing may write them in any case.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vocabulary {
    /// The version of the model that knows them.
    #[schema(example = 3)]
    model_version: i64,
    /// By column, sorted.
    #[schema(
        value_type = std::collections::BTreeMap<String, Vec<String>>,
        example = json!({ "brand": ["kia", "toyota"], "model": ["ceed", "rio"], "drive": ["задний", "передний", "полный"] })
    )]
    values: Values,
}

/// Lists known values
///
/// The texts that the served model knows, by column: what a form offers to choose from. Any other text is accepted in
/// a listing and brings a warning.
#[utoipa::path(
    get, path = "/v1/vocabulary", operation_id = "get_vocabulary", tag = "valuations", params(VocabularyQuery),
    responses((status = 200, description = "The known values", body = Vocabulary), OfVocabulary)
)]
pub(crate) async fn get_vocabulary(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vocabulary>, Problem> {
    let query = VocabularyQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.engine().served()?;
    let schema = &served.model.signature().schema;
    let leading = leading_texts(schema, query)?;
    let values = schema.categorical.iter().filter_map(|feature| {
        let column = Column::from_name(feature.columns.last()?)?;
        Some((column, values_of(feature, &leading)))
    });
    Ok(Json(Vocabulary { model_version: served.version, values: Values(values.collect()) }))
}

impl VocabularyQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        read_pairs(pairs, |name, value| {
            match name {
                "brand" => query.brand = Some(value.to_owned()),
                "model" => query.model = Some(value.to_owned()),
                _ => return Err(unknown_parameter(name)),
            }
            Ok(())
        })?;
        Ok(query)
    }
}

/// Everything that a schema knows, by column, sorted.
pub(crate) fn all(schema: &FeatureSchema) -> Vec<(Column, Vec<String>)> {
    let features = schema.categorical.iter();
    features
        .filter_map(|feature| Some((Column::from_name(feature.columns.last()?)?, values_of(feature, &[]))))
        .collect()
}

/// The canonical make and model to narrow by; `None` where one is not given.
fn leading_texts(schema: &FeatureSchema, query: VocabularyQuery) -> Result<Vec<Option<String>>, Problem> {
    let mut leading = Vec::new();
    for (column, text) in [(Column::Brand, query.brand), (Column::Model, query.model)] {
        let Some(text) = text else {
            leading.push(None);
            continue;
        };
        let text = canonical(column, &text);
        let feature = schema.categorical.iter().find(|feature| feature.name == column.name());
        let known = feature.map(|feature| values_of(feature, &leading)).unwrap_or_default();
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

/// The last texts of a feature's keys that begin with these texts, as far as a key has a place for them.
fn values_of(feature: &CategoricalFeature, leading: &[Option<String>]) -> Vec<String> {
    let narrowing = feature.columns.len() > 1;
    let is_one = |(text, wanted): (&String, &Option<String>)| wanted.as_ref().is_none_or(|wanted| wanted == text);
    let fits = |key: &&Vec<String>| !narrowing || key.iter().take(key.len() - 1).zip(leading).all(is_one);
    let texts: BTreeSet<&String> = feature.values.iter().filter(fits).filter_map(|key| key.last()).collect();
    texts.into_iter().cloned().collect()
}

/// The values by column: an object in JSON, in the order of the columns.
#[derive(Debug)]
struct Values(Vec<(Column, Vec<String>)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(column, values)| (column.name(), values)))
    }
}
