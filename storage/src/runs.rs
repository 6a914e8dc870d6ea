//! Training runs: their configurations, metrics and resulting models.

mod data;
mod figures;
mod query;
mod residuals;

use chrono::{DateTime, Utc};
use domain::SplitCounts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use utoipa::ToSchema;

use crate::error::{Error, Result};

pub use data::RunData;
pub use figures::{Figure, FigurePoint, LogLine};
pub use query::{RunQuery, RunSort};

/// The training runs.
#[derive(Clone, Debug)]
pub struct Runs {
    pool: PgPool,
}

/// A run to create.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The name of its task.
    pub task: String,
    /// What people say about it.
    pub description: RunDescription,
    /// The random seed.
    pub seed: u64,
    /// The full configuration.
    pub config: Value,
}

/// What people say about a run, and which program executes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunDescription {
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Notes on it.
    pub notes: Option<String>,
    /// The run from which it was derived.
    pub parent: Option<i64>,
    /// The version of the program, with the git revision if it was built from a checkout.
    pub program: Option<String>,
}

/// Changes of what people say about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunEdit {
    /// A new name; an empty one removes it.
    pub name: Option<String>,
    /// Tags to add.
    pub tag: Vec<String>,
    /// Tags to remove.
    pub untag: Vec<String>,
    /// New notes; empty ones remove them.
    pub notes: Option<String>,
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 12, "task": "price", "name": "lower learning rate", "label": "lower learning rate", "tags": ["baseline"],
    "notes": "half the rate of run 11", "parent": 11, "sweep": null, "program": "0.1.0 (4b4196e)",
    "status": "completed", "seed": 42,
    "config": { "learning_rate": 0.002, "batch_size": 256, "k": 3 },
    "schema_fingerprint": "4f9c2ab1077e3d15",
    "rows": { "train": 57936, "validation": 7242, "test": 7242 },
    "started_at": "2026-11-20T08:11:02Z", "heartbeat_at": "2026-11-20T08:15:42Z",
    "finished_at": "2026-11-20T08:15:42Z", "error": null, "model_version": 3,
    "data": {
        "rows": 72420, "first_date": "2023-01-02", "last_date": "2026-11-19", "imports": [1, 2],
        "fingerprint": "8c1f0a52be9d3371"
    },
    "metrics": { "epoch": 17, "validation_loss": 0.0312, "mape": 0.154, "median_ape": 0.097, "coverage_80": 0.802 }
}))]
pub struct Run {
    /// The number of the run, starting at 1, with gaps.
    pub id: i64,
    /// The name of its task.
    pub task: String,
    /// Its name; that of a trial is the name of its sweep and the number of the trial.
    pub name: Option<String>,
    /// The same as `name`, for earlier clients.
    pub label: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Notes on it.
    pub notes: Option<String>,
    /// The run from which it was derived.
    pub parent: Option<i64>,
    /// The sweep of which it is a trial.
    pub sweep: Option<String>,
    /// The version of the program, with the git revision if it was built from a checkout.
    pub program: Option<String>,
    /// The status: `running`, `interrupted` (it can be resumed), `completed` or `failed`.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// The random seed.
    pub seed: u64,
    /// The full configuration.
    #[schema(value_type = Object)]
    pub config: Value,
    /// The fingerprint of the feature schema, once known.
    pub schema_fingerprint: Option<String>,
    /// The number of listings in each split, once known.
    pub rows: Option<SplitCounts>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The time of the last heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
    /// The newest model version from this run.
    pub model_version: Option<i64>,
    /// The listings of its market at its start, once known.
    #[schema(value_type = Option<RunData>)]
    pub data: Option<RunData>,
    /// The metrics of its best epoch, and `mape`, `median_ape` and `coverage_80` of its model on the test split.
    #[schema(value_type = Object)]
    pub metrics: Value,
}

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// There was a heartbeat within the last minute.
    Running,
    /// The run was stopped or no longer sends heartbeats, and can be resumed.
    Interrupted,
    /// The run completed.
    Completed,
    /// The run failed.
    Failed,
}

impl RunStatus {
    /// The name in the database and in responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// The run completed.
    Completed,
    /// The run was stopped on request.
    Interrupted,
    /// The run failed for this reason.
    Failed(String),
}

/// The metrics of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "epoch": 7, "metrics": { "train_loss": 0.0541, "validation_mape": 0.158 }, "recorded_at": "2026-11-20T08:13:31Z"
}))]
pub struct EpochMetrics {
    /// The number of the epoch.
    pub epoch: u32,
    /// The values by metric name.
    #[schema(value_type = Object)]
    pub metrics: Value,
    /// When the metrics were recorded.
    pub recorded_at: DateTime<Utc>,
}

/// The runs with all that is shown of them. The status and the metrics can be sorted and filtered by.
const SELECT: &str = "
    SELECT * FROM (
        SELECT runs.id, runs.task, label, tags, notes, parent, program, data, seed, config, schema_fingerprint, rows,
               started_at, heartbeat_at, finished_at, error,
               CASE WHEN status = 'running' AND heartbeat_at < now() - interval '60 seconds'
                    THEN 'interrupted' ELSE status END AS status,
               (SELECT name FROM sweeps JOIN trials ON sweep_id = sweeps.id WHERE run_id = runs.id LIMIT 1) AS sweep,
               model.version AS model_version,
               coalesce(best, '{}') || coalesce(model.metrics, '{}') AS metrics
        FROM runs LEFT JOIN LATERAL (
            SELECT version, jsonb_strip_nulls(jsonb_build_object(
                'mape', card->'mape', 'median_ape', card->'median_ape', 'coverage_80', card->'coverage_80')) AS metrics
            FROM models WHERE run_id = runs.id ORDER BY version DESC LIMIT 1) AS model ON true
    ) AS shown";

impl Runs {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Records a run before its first step and returns its id.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn create(&self, run: &NewRun) -> Result<i64> {
        let query = sqlx::query_scalar(
            "INSERT INTO runs (label, seed, config, task, tags, notes, parent, program)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        );
        let RunDescription { name, tags, notes, parent, program } = &run.description;
        let query = query.bind(name).bind(run.seed.cast_signed()).bind(&run.config).bind(&run.task);
        let query = query.bind(tags).bind(notes).bind(parent).bind(program);
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// Records the data of a run, and its configuration with what suits these data.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn describe(&self, id: i64, schema_fingerprint: &str, rows: SplitCounts, config: &Value) -> Result<()> {
        let query = sqlx::query(
            "UPDATE runs SET schema_fingerprint = $2, rows = $3, config = $4, heartbeat_at = now() WHERE id = $1",
        );
        self.update(id, query.bind(id).bind(schema_fingerprint).bind(Json(rows)).bind(config)).await
    }

    /// Records the listings of a run, once.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn set_data(&self, id: i64, data: &RunData) -> Result<()> {
        let query = sqlx::query("UPDATE runs SET data = $2 WHERE id = $1 AND data IS NULL");
        query.bind(id).bind(Json(data)).execute(&self.pool).await?;
        Ok(())
    }

    /// Changes what people say about a run.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn edit(&self, id: i64, edit: &RunEdit) -> Result<()> {
        let RunEdit { name, tag, untag, notes } = edit;
        let query = sqlx::query(
            "UPDATE runs SET label = CASE WHEN $2::text IS NULL THEN label ELSE nullif($2, '') END,
                             notes = CASE WHEN $3::text IS NULL THEN notes ELSE nullif($3, '') END,
                             tags = ARRAY(SELECT DISTINCT tag FROM unnest(tags || $4) AS tag WHERE tag <> ALL ($5) ORDER BY tag)
             WHERE id = $1",
        );
        self.update(id, query.bind(id).bind(name).bind(notes).bind(tag).bind(untag)).await
    }

    /// Marks a run as running again.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn resume(&self, id: i64) -> Result<()> {
        let query = sqlx::query(
            "UPDATE runs SET status = 'running', finished_at = NULL, error = NULL, heartbeat_at = now() WHERE id = $1",
        );
        self.update(id, query.bind(id)).await
    }

    /// Records a heartbeat, due every few seconds.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn heartbeat(&self, id: i64) -> Result<()> {
        self.update(id, sqlx::query("UPDATE runs SET heartbeat_at = now() WHERE id = $1").bind(id)).await
    }

    /// Records the metrics of an epoch, which counts as a heartbeat. A resumed run overwrites the epochs that it repeats.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn record_epoch(&self, id: i64, epoch: u32, metrics: &Value) -> Result<()> {
        let query = sqlx::query(
            "WITH alive AS (
                UPDATE runs SET heartbeat_at = now(), best = CASE
                    WHEN $3 ? 'validation_loss' AND (best IS NULL OR (best->>'epoch')::bigint = $2
                         OR ($3->>'validation_loss')::double precision < (best->>'validation_loss')::double precision)
                    THEN $3 || jsonb_build_object('epoch', $2::integer) ELSE best END
                WHERE id = $1 RETURNING id)
             INSERT INTO run_metrics (run_id, epoch, metrics) SELECT id, $2, $3 FROM alive
             ON CONFLICT (run_id, epoch) DO UPDATE SET metrics = EXCLUDED.metrics, recorded_at = now()",
        );
        self.update(id, query.bind(id).bind(epoch.cast_signed()).bind(metrics)).await
    }

    /// Records the outcome of a run.
    ///
    /// # Errors
    /// [`Error::NoRun`], or the database is unavailable.
    pub async fn finish(&self, id: i64, outcome: &RunOutcome) -> Result<()> {
        let (status, error) = match outcome {
            RunOutcome::Completed => ("completed", None),
            RunOutcome::Interrupted => ("interrupted", None),
            RunOutcome::Failed(error) => ("failed", Some(error)),
        };
        let query = sqlx::query(
            "UPDATE runs SET status = $2, error = $3, finished_at = now(), heartbeat_at = now() WHERE id = $1",
        );
        self.update(id, query.bind(id).bind(status).bind(error)).await
    }

    /// The run with this id, if it exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn get(&self, id: i64) -> Result<Option<Run>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1"))).bind(id);
        let row: Option<RunRow> = query.fetch_optional(&self.pool).await?;
        Ok(row.map(Run::from))
    }

    /// The metrics of a run's epochs, in order; empty if it has none or does not exist.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn metrics(&self, id: i64) -> Result<Vec<EpochMetrics>> {
        let query =
            sqlx::query_as("SELECT epoch, metrics, recorded_at FROM run_metrics WHERE run_id = $1 ORDER BY epoch");
        let rows: Vec<(i32, Value, DateTime<Utc>)> = query.bind(id).fetch_all(&self.pool).await?;
        let epochs = rows.into_iter().map(|(epoch, metrics, recorded_at)| EpochMetrics {
            epoch: epoch.cast_unsigned(),
            metrics,
            recorded_at,
        });
        Ok(epochs.collect())
    }

    async fn update(
        &self,
        id: i64,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<()> {
        let changed = query.execute(&self.pool).await?.rows_affected();
        if changed == 0 { Err(Error::NoRun(id)) } else { Ok(()) }
    }
}

#[derive(FromRow)]
struct RunRow {
    id: i64,
    task: String,
    label: Option<String>,
    tags: Vec<String>,
    notes: Option<String>,
    parent: Option<i64>,
    sweep: Option<String>,
    program: Option<String>,
    data: Option<Json<RunData>>,
    metrics: Value,
    status: String,
    seed: i64,
    config: Value,
    schema_fingerprint: Option<String>,
    rows: Option<Json<SplitCounts>>,
    started_at: DateTime<Utc>,
    heartbeat_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    error: Option<String>,
    model_version: Option<i64>,
}

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        Self {
            id: row.id,
            task: row.task,
            name: row.label.clone(),
            label: row.label,
            tags: row.tags,
            notes: row.notes,
            parent: row.parent,
            sweep: row.sweep,
            program: row.program,
            data: row.data.map(|data| data.0),
            metrics: row.metrics,
            status: match row.status.as_str() {
                "running" => RunStatus::Running,
                "completed" => RunStatus::Completed,
                "failed" => RunStatus::Failed,
                // The table's check constraint allows no other value.
                _ => RunStatus::Interrupted,
            },
            seed: row.seed.cast_unsigned(),
            config: row.config,
            schema_fingerprint: row.schema_fingerprint,
            rows: row.rows.map(|rows| rows.0),
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            finished_at: row.finished_at,
            error: row.error,
            model_version: row.model_version,
        }
    }
}
