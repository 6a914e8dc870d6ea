//! The template workbook, with drop-downs of the values known to the served model.

use std::sync::Arc;

use axum::body::Bytes;
use chrono::{Datelike, NaiveDate};
use tokio::sync::Mutex;

use crate::http::problem::Problem;
use crate::serving::models::Served;

/// The template, generated once per model version and year.
#[derive(Debug, Default)]
pub(crate) struct Template(Mutex<Option<(TemplateKey, Bytes)>>);

/// The model version, and the year that limits the year of manufacture.
type TemplateKey = (Option<i64>, i32);

impl Template {
    /// The template for the model in service, if any.
    pub(crate) async fn get(&self, served: Option<Arc<Served>>, today: NaiveDate) -> Result<Bytes, Problem> {
        let key = (served.as_ref().map(|served| served.version), today.year());
        // Held while the template is generated, so that concurrent requests do not generate it again.
        let mut cached = self.0.lock().await;
        if let Some((_, bytes)) = cached.as_ref().filter(|(cached, _)| *cached == key) {
            return Ok(bytes.clone());
        }
        let bytes = tokio::task::spawn_blocking(move || {
            let known = served.map(|served| served.model.signature().schema.known_texts(&[]));
            tables::template(&known.unwrap_or_default(), today).map(Bytes::from)
        });
        let bytes = bytes.await.map_err(|error| Problem::internal(&error))?;
        let bytes = bytes.map_err(|error| Problem::internal(&error))?;
        *cached = Some((key, bytes.clone()));
        Ok(bytes)
    }
}
