//! The template workbooks, with drop-downs of the values known to the served model of their task.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use chrono::{Datelike, NaiveDate};
use domain::feature::FeatureSchema;
use domain::{Column, Task};
use tables::{Language, Vocabulary};
use tokio::sync::Mutex;

use crate::http::problem::Problem;
use crate::serving::models::Served;

/// The templates by task and language, generated once per model version and year.
#[derive(Debug, Default)]
pub(crate) struct Templates(Mutex<BTreeMap<Name, (TemplateKey, Bytes)>>);

/// The task and the language.
type Name = (String, Option<Language>);

/// The model version, and the year that limits the year of manufacture.
type TemplateKey = (Option<i64>, i32);

impl Templates {
    /// The template for the model in service, if any.
    pub(crate) async fn get(
        &self,
        served: Option<Arc<Served>>,
        today: NaiveDate,
        language: Option<Language>,
    ) -> Result<Bytes, Problem> {
        let task = served.as_ref().map_or_else(Task::price, |served| served.task().clone());
        let name = (task.name.clone(), language);
        let key = (served.as_ref().map(|served| served.version), today.year());
        // Held while the template is generated, so that concurrent requests do not generate it again.
        let mut cached = self.0.lock().await;
        if let Some((_, bytes)) = cached.get(&name).filter(|(cached, _)| *cached == key) {
            return Ok(bytes.clone());
        }
        let bytes = tokio::task::spawn_blocking(move || {
            let known = served.map(|served| vocabulary(&served.model.signature().schema));
            tables::template(&known.unwrap_or_default(), &task.market, today, language).map(Bytes::from)
        });
        let bytes = bytes.await.map_err(|error| Problem::internal(&error))?;
        let bytes = bytes.map_err(|error| Problem::internal(&error))?;
        cached.insert(name, (key, bytes.clone()));
        Ok(bytes)
    }
}

/// The known texts, and the models of each make.
fn vocabulary(schema: &FeatureSchema) -> Vocabulary {
    let is_model = |columns: &[String]| columns == [Column::Brand.name(), Column::Model.name()];
    let models = schema.categorical.iter().filter(|feature| is_model(&feature.columns));
    let pairs = models.flat_map(|feature| &feature.values).filter_map(|key| match key.as_slice() {
        [make, model] => Some((make.clone(), model.clone())),
        _ => None,
    });
    Vocabulary { texts: schema.known_texts(&[]), models: pairs.collect() }
}
