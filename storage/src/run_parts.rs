//! Runs that are split among processes: their plans, their parts, and what the parts have computed.

mod comparison;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::error::{Error, Result};
pub use comparison::{EnsembleComparison, PredictedChunk};

/// The parts of the runs.
#[derive(Clone, Debug)]
pub struct RunParts {
    pool: PgPool,
}

/// The plan of a run, from which all of its parts start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPlan {
    /// The version of the program that made it.
    pub program: String,
    /// The plan.
    pub plan: Vec<u8>,
}

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The run.
    pub run: i64,
    /// The stage.
    pub stage: String,
    /// The number within the stage, starting at 0.
    pub member: u32,
}

/// The right to execute a part, until it expires or another process takes it over afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    part: Part,
    fencing: i64,
}

/// The answer to a process that wants to execute a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It may.
    Leased(Lease),
    /// The part has been executed.
    Done,
    /// Another process holds it.
    Held {
        /// That process.
        holder: String,
        /// When its lease expires unless it is renewed.
        until: DateTime<Utc>,
    },
}

/// The state of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartState {
    /// The stage.
    pub stage: String,
    /// The number within the stage.
    pub member: u32,
    /// The process that executes it, or was the last to.
    pub holder: Option<String>,
    /// Whether its lease has not expired.
    pub is_held: bool,
    /// Whether it is done.
    pub is_finished: bool,
    /// The listings that it has learned from so far.
    pub rows: u64,
    /// The number of them at most.
    pub max_rows: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The time after which a part may be taken over from a process that no longer renews its lease, in seconds.
pub const LEASE_SECONDS: u32 = 15;

impl Lease {
    /// The part.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    pub(crate) fn fencing(&self) -> i64 {
        self.fencing
    }
}

/// Finds and locks the part of a lease that has not been taken over. The parameters from $1 to $4 are those of [`bind`].
const HELD: &str =
    "SELECT 1 FROM run_parts WHERE run_id = $1 AND stage = $2 AND member = $3 AND fencing = $4 FOR SHARE";

fn bind<'q>(query: Query<'q, sqlx::Postgres, PgArguments>, lease: &Lease) -> Query<'q, sqlx::Postgres, PgArguments> {
    let Lease { part, fencing } = lease;
    query.bind(part.run).bind(part.stage.clone()).bind(part.member.cast_signed()).bind(*fencing)
}

/// The columns of a [`PartState`].
type PartRow = (String, i32, Option<String>, bool, bool, i64, i64, Option<String>);

impl RunParts {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Stores the plan of a run with the preprocessing of its first stage and its parts, unless it has a plan already.
    ///
    /// # Errors
    /// The run does not exist, or the database is unavailable.
    pub async fn plan(
        &self,
        run: i64,
        plan: &RunPlan,
        (stage, prepared): (&str, &[u8]),
        parts: &[(String, u32)],
    ) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        let insert = "INSERT INTO run_plans (run_id, program, plan) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let insert = sqlx::query(insert).bind(run).bind(&plan.program).bind(&plan.plan);
        if insert.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(());
        }
        let insert = "INSERT INTO run_stages (run_id, stage, prepared) VALUES ($1, $2, $3)";
        sqlx::query(insert).bind(run).bind(stage).bind(prepared).execute(&mut *transaction).await?;
        for (stage, member) in parts {
            let insert = "INSERT INTO run_parts (run_id, stage, member) VALUES ($1, $2, $3)";
            let insert = sqlx::query(insert).bind(run).bind(stage).bind(member.cast_signed());
            insert.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The plan of a run, if it has one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn get_plan(&self, run: i64) -> Result<Option<RunPlan>> {
        let query = sqlx::query_as("SELECT program, plan FROM run_plans WHERE run_id = $1").bind(run);
        let row: Option<(String, Vec<u8>)> = query.fetch_optional(&self.pool).await?;
        Ok(row.map(|(program, plan)| RunPlan { program, plan }))
    }

    /// Removes the plan of a run and all that its parts have stored.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn remove_plan(&self, run: i64) -> Result<()> {
        sqlx::query("DELETE FROM run_plans WHERE run_id = $1").bind(run).execute(&self.pool).await?;
        Ok(())
    }

    /// The preprocessing of a stage, if a process has fitted it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn prepared(&self, run: i64, stage: &str) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_scalar("SELECT prepared FROM run_stages WHERE run_id = $1 AND stage = $2");
        Ok(query.bind(run).bind(stage).fetch_optional(&self.pool).await?)
    }

    /// Stores the preprocessing of a stage, unless another process has done so.
    ///
    /// # Errors
    /// The run has no plan, or the database is unavailable.
    pub async fn store_prepared(&self, run: i64, stage: &str, prepared: &[u8]) -> Result<()> {
        let insert = "INSERT INTO run_stages (run_id, stage, prepared) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(run).bind(stage).bind(prepared).execute(&self.pool).await?;
        Ok(())
    }

    /// Asks for the right to execute a part; `None` if the run has no such part.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn acquire(&self, part: &Part, holder: &str) -> Result<Option<Acquired>> {
        let query = sqlx::query_scalar(
            "UPDATE run_parts SET fencing = fencing + 1, holder = $4, error = NULL,
                    lease_until = now() + make_interval(secs => $5)
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND finished_at IS NULL AND lease_until < now()
             RETURNING fencing",
        );
        let member = part.member.cast_signed();
        let query = query.bind(part.run).bind(&part.stage).bind(member).bind(holder).bind(f64::from(LEASE_SECONDS));
        if let Some(fencing) = query.fetch_optional(&self.pool).await? {
            return Ok(Some(Acquired::Leased(Lease { part: part.clone(), fencing })));
        }
        let query = sqlx::query_as(
            "SELECT finished_at IS NOT NULL, coalesce(holder, ''), greatest(lease_until, to_timestamp(0)) FROM run_parts
             WHERE run_id = $1 AND stage = $2 AND member = $3",
        );
        let query = query.bind(part.run).bind(&part.stage).bind(member);
        let state: Option<(bool, String, DateTime<Utc>)> = query.fetch_optional(&self.pool).await?;
        Ok(state.map(
            |(is_finished, holder, until)| {
                if is_finished { Acquired::Done } else { Acquired::Held { holder, until } }
            },
        ))
    }

    /// Renews a lease, with the progress of the part in listings.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn renew(&self, lease: &Lease, (rows, max_rows): (u64, u64)) -> Result<()> {
        let query = sqlx::query(
            "UPDATE run_parts SET lease_until = now() + make_interval(secs => $5), rows = $6, max_rows = $7
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND fencing = $4",
        );
        let query = bind(query, lease).bind(f64::from(LEASE_SECONDS));
        self.write(lease, query.bind(rows.cast_signed()).bind(max_rows.cast_signed())).await
    }

    /// Stores what a member predicts for a chunk of the validation split after an epoch.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn record_predictions(&self, lease: &Lease, epoch: u32, chunk: &PredictedChunk) -> Result<()> {
        const WRITE: &str = "INSERT INTO member_predictions (run_id, member, epoch, chunk, log_prices, quantiles)
             SELECT $1, $3, $5, $6, $7, $8 FROM held
             ON CONFLICT (run_id, epoch, chunk, member)
             DO UPDATE SET log_prices = EXCLUDED.log_prices, quantiles = EXCLUDED.quantiles";
        let statement = format!("WITH held AS ({HELD}) {WRITE}");
        let query = bind(sqlx::query(sqlx::AssertSqlSafe(statement)), lease);
        let (log_prices, quantiles) = chunk.to_bytes();
        let query = query.bind(epoch.cast_signed()).bind(chunk.number.cast_signed()).bind(log_prices).bind(quantiles);
        self.write(lease, query).await
    }

    /// Stores the weights of a member after an epoch, once all of its predictions are.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn record_epoch(&self, lease: &Lease, epoch: u32, metrics: &Value, weights: &[u8]) -> Result<()> {
        const WRITE: &str = "INSERT INTO member_epochs (run_id, member, epoch, metrics, weights)
             SELECT $1, $3, $5, $6, $7 FROM held
             ON CONFLICT (run_id, epoch, member)
             DO UPDATE SET metrics = EXCLUDED.metrics, weights = EXCLUDED.weights";
        let statement = format!("WITH held AS ({HELD}) {WRITE}");
        let query = bind(sqlx::query(sqlx::AssertSqlSafe(statement)), lease);
        self.write(lease, query.bind(epoch.cast_signed()).bind(metrics).bind(weights)).await
    }

    /// Stores a checkpoint of a part, in place of its result until it is done.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn store_checkpoint(&self, lease: &Lease, checkpoint: &[u8]) -> Result<()> {
        let query = sqlx::query(
            "UPDATE run_parts SET result = $5
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND fencing = $4 AND finished_at IS NULL",
        );
        self.write(lease, bind(query, lease).bind(checkpoint)).await
    }

    /// The checkpoint of a part that is not done, if it has stored one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn checkpoint(&self, part: &Part) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_scalar(
            "SELECT result FROM run_parts WHERE run_id = $1 AND stage = $2 AND member = $3 AND finished_at IS NULL",
        );
        let query = query.bind(part.run).bind(&part.stage).bind(part.member.cast_signed());
        Ok(query.fetch_optional(&self.pool).await?.flatten())
    }

    /// Stores the result of a part, which is done.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn finish(&self, lease: &Lease, result: Option<&[u8]>) -> Result<()> {
        let query = sqlx::query(
            "UPDATE run_parts SET result = $5, finished_at = now(), lease_until = '-infinity', rows = max_rows
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND fencing = $4",
        );
        self.write(lease, bind(query, lease).bind(result)).await
    }

    /// Gives a part back, with the reason why it failed if it did.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or the database is unavailable.
    pub async fn release(&self, lease: &Lease, error: Option<&str>) -> Result<()> {
        let query = sqlx::query(
            "UPDATE run_parts SET lease_until = '-infinity', error = $5
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND fencing = $4",
        );
        self.write(lease, bind(query, lease).bind(error)).await
    }

    /// The states of the parts of a run, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn list(&self, run: i64) -> Result<Vec<PartState>> {
        let query = sqlx::query_as(
            "SELECT stage, member, holder, lease_until >= now(), finished_at IS NOT NULL, rows, max_rows, error
             FROM run_parts WHERE run_id = $1 ORDER BY stage, member",
        );
        let rows: Vec<PartRow> = query.bind(run).fetch_all(&self.pool).await?;
        let parts = rows.into_iter().map(|(stage, member, holder, is_held, is_finished, rows, max_rows, error)| {
            let (rows, max_rows) = (rows.cast_unsigned(), max_rows.cast_unsigned());
            PartState { stage, member: member.cast_unsigned(), holder, is_held, is_finished, rows, max_rows, error }
        });
        Ok(parts.collect())
    }

    /// The result of a part, if it is done and has one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn result(&self, part: &Part) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_scalar(
            "SELECT result FROM run_parts
             WHERE run_id = $1 AND stage = $2 AND member = $3 AND finished_at IS NOT NULL",
        );
        let query = query.bind(part.run).bind(&part.stage).bind(part.member.cast_signed());
        Ok(query.fetch_optional(&self.pool).await?.flatten())
    }

    /// The weights of the members after an epoch, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn weights(&self, run: i64, epoch: u32) -> Result<Vec<Vec<u8>>> {
        let query =
            sqlx::query_scalar("SELECT weights FROM member_epochs WHERE run_id = $1 AND epoch = $2 ORDER BY member");
        Ok(query.bind(run).bind(epoch.cast_signed()).fetch_all(&self.pool).await?)
    }

    /// Begins to compare the epochs of all members of a run, which one process does at a time.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn compare(&self, run: i64) -> Result<EnsembleComparison> {
        EnsembleComparison::begin(&self.pool, run).await
    }

    async fn write(&self, lease: &Lease, query: Query<'_, sqlx::Postgres, PgArguments>) -> Result<()> {
        let changed = query.execute(&self.pool).await?.rows_affected();
        if changed == 0 { Err(Error::LeaseLost(lease.part.run)) } else { Ok(()) }
    }
}
