//! The listings that a run could learn from.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;

use super::Runs;
use crate::error::Result;

/// The listings of a market at the start of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunData {
    /// Their number, whether or not they are of the task.
    pub rows: u64,
    /// The date of the oldest one.
    pub first_date: Option<NaiveDate>,
    /// The date of the newest one.
    pub last_date: Option<NaiveDate>,
    /// The numbers of the imports that added them.
    pub imports: Vec<i64>,
    /// A fingerprint of their content, equal for equal listings in the same database server.
    pub fingerprint: String,
}

impl Runs {
    /// Records the listings of a run, once.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn set_data(&self, id: i64, data: &RunData) -> Result<()> {
        let query = sqlx::query("UPDATE runs SET data = $2 WHERE id = $1 AND data IS NULL");
        query.bind(id).bind(Json(data)).execute(&self.pool).await?;
        Ok(())
    }
}
