//! The residuals of the model of a run on the test split.

use domain::residuals::Residuals;
use sqlx::types::Json;

use super::Runs;
use crate::error::Result;

impl Runs {
    /// Records the residuals of the model of a run, in place of those of an earlier attempt.
    ///
    /// # Errors
    /// [`crate::Error::NoRun`], or the database is unavailable.
    pub async fn set_residuals(&self, id: i64, residuals: &Residuals) -> Result<()> {
        let query = sqlx::query("UPDATE runs SET residuals = $2 WHERE id = $1").bind(id).bind(Json(residuals));
        self.update(id, query).await
    }

    /// The residuals of the model of a run; `None` if it has no model, is of an earlier version of the program or does not exist.
    ///
    /// # Errors
    /// The database is unavailable, or the residuals cannot be read.
    pub async fn residuals(&self, id: i64) -> Result<Option<Residuals>> {
        let query = sqlx::query_scalar("SELECT residuals FROM runs WHERE id = $1 AND residuals IS NOT NULL").bind(id);
        let residuals: Option<Json<Residuals>> = query.fetch_optional(&self.pool).await?;
        Ok(residuals.map(|residuals| residuals.0))
    }
}
