//! Sweeps: searches over hyperparameters, whose trials any number of processes take.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::importance::importance;
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// The sweeps.
#[derive(Clone, Debug)]
pub struct Sweeps {
    pool: PgPool,
}

/// A sweep to start or to join.
#[derive(Clone, Debug)]
pub struct NewSweep {
    /// Its name.
    pub name: String,
    /// The name of its task.
    pub task: String,
    /// The settings to vary, with their values.
    pub space: Value,
    /// The configuration of all other settings.
    pub config: Value,
    /// The listings and the date that all trials share.
    pub data: Value,
    /// The number of trials.
    pub trials: u32,
    /// The version of the program.
    pub program: String,
}

/// A sweep.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Sweep {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The name of its task.
    pub task: String,
    /// The settings to vary, with their values.
    pub space: Value,
    /// The configuration of all other settings.
    pub config: Value,
    /// The listings and the date that all trials share.
    pub data: Value,
    /// The number of trials.
    #[sqlx(try_from = "i32")]
    pub trials: u32,
    /// The version of the program that started it.
    pub program: String,
    /// When it was started.
    pub created_at: DateTime<Utc>,
}

impl Sweep {
    /// The completed trial with the lowest loss.
    #[must_use]
    pub fn best(trials: &[Trial]) -> Option<&Trial> {
        let completed = trials.iter().filter(|trial| trial.status == TrialStatus::Completed);
        completed.min_by(|a, b| a.loss.unwrap_or(f64::INFINITY).total_cmp(&b.loss.unwrap_or(f64::INFINITY)))
    }

    /// How much each setting matters, the most important first; see [`importance`]. Empty for few trials.
    #[must_use]
    pub fn importance(&self, trials: &[Trial]) -> Vec<(String, f64)> {
        let ended: Vec<(&Value, f64)> =
            trials.iter().filter_map(|trial| Some((&trial.settings, trial.loss?))).collect();
        importance(&self.space, &ended)
    }
}

/// The number of trials of a sweep by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, FromRow, ToSchema)]
#[schema(example = json!({ "running": 2, "completed": 21, "pruned": 9, "failed": 0 }))]
pub struct SweepCounts {
    /// Taken by a process and not ended.
    pub running: i64,
    /// Trained to their end.
    pub completed: i64,
    /// Stopped early.
    pub pruned: i64,
    /// Failed.
    pub failed: i64,
}

/// A trial of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
#[schema(as = SweepTrial, example = json!({
    "number": 17, "settings": { "learning_rate": 0.0021, "d_block": 192 }, "status": "completed", "attempt": 1,
    "worker": "process 4711 on node2", "run_id": 12, "loss": 0.0312, "error": null,
    "started_at": "2026-11-20T08:11:02Z", "finished_at": "2026-11-20T08:15:42Z"
}))]
pub struct Trial {
    /// Its number within the sweep, starting at 1.
    pub number: i32,
    /// The settings that it tries.
    #[schema(value_type = Object)]
    pub settings: Value,
    /// `running`, `completed`, `pruned` or `failed`.
    #[sqlx(try_from = "String")]
    #[schema(value_type = String)]
    pub status: TrialStatus,
    /// The number of processes that took it so far.
    pub attempt: i32,
    /// The process that took it last.
    pub worker: String,
    /// Its run.
    pub run_id: Option<i64>,
    /// The best validation loss, if it ended.
    pub loss: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was first taken.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The status of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialStatus {
    /// A process has taken it and has not ended it.
    Running,
    /// It was trained to its end.
    Completed,
    /// It was stopped early, since it was worse than others.
    Pruned,
    /// Its training failed.
    Failed,
}

impl TrialStatus {
    /// The name in the database and in responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
        }
    }
}

impl From<String> for TrialStatus {
    fn from(name: String) -> Self {
        match name.as_str() {
            "completed" => Self::Completed,
            "pruned" => Self::Pruned,
            "failed" => Self::Failed,
            // The table's check constraint allows no other value.
            _ => Self::Running,
        }
    }
}

/// What a process does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It has this trial, and is the only one.
    Trial(Trial),
    /// Others have the last trials; one of them may be given up.
    Wait,
    /// All trials have ended.
    Done,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialOutcome {
    /// It was trained to its end, with this best validation loss.
    Completed(f64),
    /// It was stopped early, with this best validation loss.
    Pruned(f64),
    /// Its training failed.
    Failed(String),
}

/// A trial that a process has: the sweep, the number and the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The sweep.
    pub sweep: i64,
    /// The number of the trial.
    pub number: i32,
    /// Which of the processes that took the trial this is.
    pub attempt: i32,
}

const SWEEP: &str = "SELECT id, name, task, space, config, data, trials, program, created_at FROM sweeps";
const TRIAL: &str =
    "SELECT number, settings, status, attempt, worker, run_id, loss, error, started_at, finished_at FROM trials";

impl Sweeps {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Starts a sweep, or returns the one of this name. Its number of trials is raised if it is lower.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn start_or_join(&self, new: &NewSweep) -> Result<Sweep> {
        let trials = new.trials.cast_signed();
        let insert = sqlx::query(
            "INSERT INTO sweeps (name, task, space, config, data, trials, program) VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (name) DO UPDATE SET trials = greatest(sweeps.trials, EXCLUDED.trials)
             WHERE sweeps.space = EXCLUDED.space AND sweeps.config = EXCLUDED.config AND sweeps.task = EXCLUDED.task",
        );
        let insert = insert.bind(&new.name).bind(&new.task).bind(&new.space).bind(&new.config).bind(&new.data);
        insert.bind(trials).bind(&new.program).execute(&self.pool).await?;
        // Sweeps are never removed while a process works on them.
        self.get(&new.name).await?.ok_or_else(|| Error::NoSweep(new.name.clone()))
    }

    /// The sweep of this name, if it exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn get(&self, name: &str) -> Result<Option<Sweep>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{SWEEP} WHERE name = $1"))).bind(name);
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// All sweeps, the newest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn list(&self) -> Result<Vec<Sweep>> {
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!("{SWEEP} ORDER BY id DESC"))).fetch_all(&self.pool).await?)
    }

    /// All sweeps, the newest first, with the number of their trials and the lowest loss of a completed one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn counted(&self) -> Result<Vec<(Sweep, SweepCounts, Option<f64>)>> {
        #[derive(FromRow)]
        struct Row {
            #[sqlx(flatten)]
            sweep: Sweep,
            #[sqlx(flatten)]
            counts: SweepCounts,
            best_loss: Option<f64>,
        }
        let query = sqlx::query_as(
            "SELECT id, name, task, space, config, data, sweeps.trials, program, created_at,
                    count(*) FILTER (WHERE status = 'running') AS running,
                    count(*) FILTER (WHERE status = 'completed') AS completed,
                    count(*) FILTER (WHERE status = 'pruned') AS pruned,
                    count(*) FILTER (WHERE status = 'failed') AS failed,
                    min(loss) FILTER (WHERE status = 'completed') AS best_loss
             FROM sweeps LEFT JOIN trials ON sweep_id = id GROUP BY id ORDER BY id DESC",
        );
        let rows: Vec<Row> = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.sweep, row.counts, row.best_loss)).collect())
    }

    /// The trials of a sweep, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn trials(&self, sweep: i64) -> Result<Vec<Trial>> {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{TRIAL} WHERE sweep_id = $1 ORDER BY number")));
        Ok(query.bind(sweep).fetch_all(&self.pool).await?)
    }

    /// Takes a trial whose process is gone, or else a new one with the settings that `propose` finds for those so far; without
    /// any, the sweep has no further trials. Processes take trials one after the other.
    ///
    /// # Errors
    /// The database is unavailable, or the sweep was removed.
    pub async fn take(
        &self,
        sweep: i64,
        worker: &str,
        lease: Duration,
        propose: impl FnOnce(&[Trial]) -> Option<Value>,
    ) -> Result<Taken> {
        let mut transaction = self.pool.begin().await?;
        let query = sqlx::query_scalar("SELECT trials FROM sweeps WHERE id = $1 FOR UPDATE").bind(sweep);
        let limit: Option<i32> = query.fetch_optional(&mut *transaction).await?;
        let limit = limit.ok_or_else(|| Error::NoSweep(sweep.to_string()))?;
        let query = sqlx::query_scalar(
            "UPDATE trials SET attempt = attempt + 1, worker = $2, lease_until = now() + $3 * interval '1 second'
             WHERE sweep_id = $1 AND number = (
                SELECT min(number) FROM trials WHERE sweep_id = $1 AND status = 'running' AND lease_until < now())
             RETURNING number",
        );
        let query = query.bind(sweep).bind(worker).bind(lease.as_secs_f64());
        let taken_over: Option<i32> = query.fetch_optional(&mut *transaction).await?;
        let query = sqlx::query_as(sqlx::AssertSqlSafe(format!("{TRIAL} WHERE sweep_id = $1 ORDER BY number")));
        let trials: Vec<Trial> = query.bind(sweep).fetch_all(&mut *transaction).await?;
        let taken = if let Some(number) = taken_over {
            trials.into_iter().find(|trial| trial.number == number)
        } else {
            let has_more = i32::try_from(trials.len()).is_ok_and(|count| count < limit);
            let settings = if has_more { propose(&trials) } else { None };
            let Some(settings) = settings else {
                let is_done = trials.iter().all(|trial| trial.status != TrialStatus::Running);
                return Ok(if is_done { Taken::Done } else { Taken::Wait });
            };
            let query = sqlx::query_as(
                "INSERT INTO trials (sweep_id, number, settings, worker, lease_until)
                 SELECT $1, coalesce(max(number), 0) + 1, $2, $3, now() + $4 * interval '1 second'
                 FROM trials WHERE sweep_id = $1
                 RETURNING number, settings, status, attempt, worker, run_id, loss, error, started_at, finished_at",
            );
            let query = query.bind(sweep).bind(settings).bind(worker).bind(lease.as_secs_f64());
            Some(query.fetch_one(&mut *transaction).await?)
        };
        transaction.commit().await?;
        Ok(taken.map_or(Taken::Wait, Taken::Trial))
    }

    /// Keeps a trial for another while; false if another process has taken it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn keep(&self, claim: Claim, lease: Duration) -> Result<bool> {
        let query = sqlx::query(
            "UPDATE trials SET lease_until = now() + $4 * interval '1 second'
             WHERE sweep_id = $1 AND number = $2 AND attempt = $3 AND status = 'running'",
        );
        let query = query.bind(claim.sweep).bind(claim.number).bind(claim.attempt).bind(lease.as_secs_f64());
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Gives a trial up, so that another process may take it at once.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn give_up(&self, claim: Claim) -> Result<()> {
        let query = sqlx::query(
            "UPDATE trials SET lease_until = '-infinity'
             WHERE sweep_id = $1 AND number = $2 AND attempt = $3 AND status = 'running'",
        );
        query.bind(claim.sweep).bind(claim.number).bind(claim.attempt).execute(&self.pool).await?;
        Ok(())
    }

    /// Records the run of a trial; false if another process has taken the trial.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn set_run(&self, claim: Claim, run: i64) -> Result<bool> {
        let query = sqlx::query(
            "UPDATE trials SET run_id = $4 WHERE sweep_id = $1 AND number = $2 AND attempt = $3 AND status = 'running'",
        );
        let query = query.bind(claim.sweep).bind(claim.number).bind(claim.attempt).bind(run);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Ends a trial; false if another process has taken or ended it, which changes nothing.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn finish(&self, claim: Claim, outcome: &TrialOutcome) -> Result<bool> {
        let (status, loss, error) = match outcome {
            TrialOutcome::Completed(loss) => (TrialStatus::Completed, Some(*loss), None),
            TrialOutcome::Pruned(loss) => (TrialStatus::Pruned, Some(*loss), None),
            TrialOutcome::Failed(error) => (TrialStatus::Failed, None, Some(error)),
        };
        let query = sqlx::query(
            "UPDATE trials SET status = $4, loss = $5, error = $6, finished_at = now()
             WHERE sweep_id = $1 AND number = $2 AND attempt = $3 AND status = 'running'",
        );
        let query = query.bind(claim.sweep).bind(claim.number).bind(claim.attempt);
        let query = query.bind(status.name()).bind(loss).bind(error);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// The best validation loss up to an epoch of each completed trial that got that far, without order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn losses_by(&self, sweep: i64, epoch: u32) -> Result<Vec<f64>> {
        let query = sqlx::query_scalar(
            "SELECT min((metrics->>'validation_loss')::double precision)
             FROM trials JOIN run_metrics USING (run_id)
             WHERE sweep_id = $1 AND status = 'completed' AND epoch <= $2
             GROUP BY number HAVING max(epoch) = $2",
        );
        Ok(query.bind(sweep).bind(epoch.cast_signed()).fetch_all(&self.pool).await?)
    }
}
