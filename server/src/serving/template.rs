//! The template workbooks, with drop-downs of the values known to the served model of their task.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use chrono::{Datelike, NaiveDate};
use domain::Task;
use tokio::sync::Mutex;

use crate::http::problem::Problem;
use crate::serving::models::Served;

/// The templates by task, generated once per model version and year.
#[derive(Debug, Default)]
pub(crate) struct Templates(Mutex<BTreeMap<String, (TemplateKey, Bytes)>>);

/// The model version, and the year that limits the year of manufacture.
type TemplateKey = (Option<i64>, i32);

impl Templates {
    /// The template for the model in service, if any.
    pub(crate) async fn get(&self, served: Option<Arc<Served>>, today: NaiveDate) -> Result<Bytes, Problem> {
        let task = served.as_ref().map_or_else(Task::price, |served| served.task().clone());
        let name = task.name.clone();
        let key = (served.as_ref().map(|served| served.version), today.year());
        // Held while the template is generated, so that concurrent requests do not generate it again.
        let mut cached = self.0.lock().await;
        if let Some((_, bytes)) = cached.get(&name).filter(|(cached, _)| *cached == key) {
            return Ok(bytes.clone());
        }
        let bytes = tokio::task::spawn_blocking(move || {
            let known = served.map(|served| served.model.signature().schema.known_texts(&[]));
            tables::template(&known.unwrap_or_default(), &task.market, today).map(Bytes::from)
        });
        let bytes = bytes.await.map_err(|error| Problem::internal(&error))?;
        let bytes = bytes.map_err(|error| Problem::internal(&error))?;
        cached.insert(name, (key, bytes.clone()));
        Ok(bytes)
    }
}
