//! Figures and the log of a run, written in batches.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use super::Runs;
use crate::error::Result;

/// A value of a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct FigurePoint {
    /// The name of the figure.
    pub name: String,
    /// The training step.
    pub step: u64,
    /// The value.
    pub value: f64,
    /// When it was measured.
    pub at: DateTime<Utc>,
}

/// A figure of a run over its training steps.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = RunFigure, example = json!({ "run": 12, "name": "train_loss", "points": [[1.0, 0.231], [40.0, 0.117]] }))]
pub struct Figure {
    /// The number of the run.
    pub run: i64,
    /// The name of the figure.
    pub name: String,
    /// The points in order, each the step and the value; means of neighbouring ones if there are more than requested.
    pub points: Vec<[f64; 2]>,
}

/// A line of the log of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow, ToSchema)]
#[schema(as = RunLogLine)]
pub struct LogLine {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    #[schema(example = "epoch 7: validation MAPE 15.80 %")]
    pub message: String,
}

impl Runs {
    /// Adds values of figures and lines of the log in one statement each; those that are there already are replaced.
    ///
    /// # Errors
    /// The run does not exist, or the database is unavailable.
    pub async fn record(&self, id: i64, points: &[FigurePoint], lines: &[LogLine]) -> Result<()> {
        // A statement may change a row only once; of equal ones the last counts.
        let query = sqlx::query(
            "INSERT INTO run_figures (run_id, name, step, value, at)
             SELECT DISTINCT ON (name, step) $1, name, step, value, at
             FROM unnest($2::text[], $3::bigint[], $4::double precision[], $5::timestamptz[]) WITH ORDINALITY
                  AS point (name, step, value, at, number)
             ORDER BY name, step, number DESC
             ON CONFLICT (run_id, name, step) DO UPDATE SET value = EXCLUDED.value, at = EXCLUDED.at",
        );
        let names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
        let steps: Vec<i64> = points.iter().map(|point| point.step.cast_signed()).collect();
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let times: Vec<DateTime<Utc>> = points.iter().map(|point| point.at).collect();
        if !points.is_empty() {
            query.bind(id).bind(names).bind(steps).bind(values).bind(times).execute(&self.pool).await?;
        }
        let query = sqlx::query(
            "INSERT INTO run_log (run_id, at, message)
             SELECT $1, at, message FROM unnest($2::timestamptz[], $3::text[]) AS line (at, message)
             ON CONFLICT DO NOTHING",
        );
        if !lines.is_empty() {
            let times: Vec<DateTime<Utc>> = lines.iter().map(|line| line.at).collect();
            let messages: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
            query.bind(id).bind(times).bind(messages).execute(&self.pool).await?;
        }
        Ok(())
    }

    /// The figures of runs with at most `max_points` points each, by run and name; all figures without `names`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn figures(&self, runs: &[i64], names: Option<&[String]>, max_points: u32) -> Result<Vec<Figure>> {
        let query = sqlx::query_as(
            "WITH points AS (
                SELECT run_id, name, step, value, min(step) OVER figure AS low, max(step) OVER figure AS high
                FROM run_figures WHERE run_id = ANY ($1) AND ($2::text[] IS NULL OR name = ANY ($2))
                WINDOW figure AS (PARTITION BY run_id, name))
             SELECT run_id, name, array_agg(step ORDER BY step), array_agg(value ORDER BY step) FROM (
                SELECT run_id, name, max(step)::double precision AS step, avg(value) AS value
                FROM points GROUP BY run_id, name, div(((step - low) * $3)::numeric, (high - low + 1)::numeric)) AS thinned
             GROUP BY run_id, name ORDER BY run_id, name",
        );
        let query = query.bind(runs).bind(names).bind(i64::from(max_points.max(1)));
        let rows: Vec<(i64, String, Vec<f64>, Vec<f64>)> = query.fetch_all(&self.pool).await?;
        let figures = rows.into_iter().map(|(run, name, steps, values)| Figure {
            run,
            name,
            points: steps.into_iter().zip(values).map(|(step, value)| [step, value]).collect(),
        });
        Ok(figures.collect())
    }

    /// All points of a run that were measured at this time or later, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn points(&self, id: i64, since: Option<DateTime<Utc>>) -> Result<Vec<FigurePoint>> {
        let query = sqlx::query_as(
            "SELECT name, step, value, at FROM run_figures
             WHERE run_id = $1 AND ($2::timestamptz IS NULL OR at >= $2) ORDER BY at, name, step",
        );
        let rows: Vec<(String, i64, f64, DateTime<Utc>)> = query.bind(id).bind(since).fetch_all(&self.pool).await?;
        let points =
            rows.into_iter().map(|(name, step, value, at)| FigurePoint { name, step: step.unsigned_abs(), value, at });
        Ok(points.collect())
    }

    /// The log of a run, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn log(&self, id: i64) -> Result<Vec<LogLine>> {
        let query = sqlx::query_as("SELECT at, message FROM run_log WHERE run_id = $1 ORDER BY at, id").bind(id);
        Ok(query.fetch_all(&self.pool).await?)
    }
}
