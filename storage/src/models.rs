//! The model registry: immutable versions, and aliases that point to them.

mod aliases;
mod changes;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::task::PRICE;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryScalar;
use sqlx::{AssertSqlSafe, FromRow, PgPool, Postgres};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::run_parts::Lease;

pub use aliases::{Action, AliasChange, ServedPeriod};
pub use changes::ModelChanges;

/// The alias of the version of a task that servers serve. That of the task `price` has no prefix.
pub const CHAMPION: &str = "champion";

/// The alias of the champion of a task.
#[must_use]
pub fn champion_of(task: &str) -> String {
    if task == PRICE { CHAMPION.to_owned() } else { format!("{task}/{CHAMPION}") }
}

/// The maximum size of a model file in bytes. Loading one takes several times its size in memory.
pub const MAX_MODEL_BYTES: u64 = 256 << 20;

/// The registered models.
#[derive(Clone, Debug)]
pub struct Models {
    pool: PgPool,
}

/// A model to register.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// The name of its task.
    pub task: String,
    /// The run that trained it.
    pub run_id: Option<i64>,
    /// The model file.
    pub bytes: Vec<u8>,
    /// Its inputs, outputs and feature schema.
    pub signature: Value,
    /// Its accuracy card.
    pub card: Value,
}

/// A registered model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ModelSummary, example = json!({
    "version": 3, "task": "price", "aliases": ["champion"], "created_at": "2026-11-20T08:15:43Z", "run_id": 12,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "size": 2_481_152,
    "accuracy": {
        "rows": 7241, "mape": 0.154, "median_ape": 0.097, "mae": 118_200.5, "rmsle": 0.221, "r2": 0.951,
        "within_5": 0.271, "within_10": 0.512, "within_20": 0.783, "coverage_80": 0.802, "median_width_80": 0.338,
        "cod": 0.155, "prd": 1.021,
        "intervals_95": { "mape": [0.149, 0.16], "median_ape": [0.095, 0.1], "coverage_80": [0.793, 0.811] }
    }
}))]
pub struct ModelRecord {
    /// The version number, starting at 1, with gaps.
    pub version: i64,
    /// The name of its task.
    pub task: String,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// The run that trained it, if it is in this database.
    pub run_id: Option<i64>,
    /// The SHA-256 of the model file, in hexadecimal.
    pub sha256: String,
    /// The size of the model file in bytes.
    pub size: u64,
    /// The accuracy card: errors and shares as fractions (0.154 = 15.4 %), measured on held-out listings. `segments` are
    /// only included for a single version. Null if the model was not evaluated.
    #[schema(value_type = Option<Object>)]
    pub accuracy: Value,
    /// Its feature schema and its quantiles.
    #[serde(skip)]
    pub signature: Value,
}

impl ModelRecord {
    /// The same without the accuracy of the segments, for lists.
    #[must_use]
    pub fn without_segments(mut self) -> Self {
        if let Some(card) = self.accuracy.as_object_mut() {
            card.remove("segments");
        }
        self
    }
}

/// A registered file. Its hash distinguishes it from the same version in another database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// The version.
    pub version: i64,
    /// The SHA-256 of the file.
    pub sha256: Vec<u8>,
}

const SELECT: &str = "
    SELECT version, task, run_id, created_at, encode(sha256, 'hex') AS sha256, size, signature, card,
           ARRAY(SELECT alias FROM model_aliases WHERE model_aliases.version = models.version ORDER BY alias) AS aliases
    FROM models";

const INSERT: &str = "INSERT INTO models (run_id, sha256, size, bytes, signature, card, task)";

/// Binds the values of [`INSERT`].
fn bind<'q>(
    query: QueryScalar<'q, Postgres, i64, PgArguments>,
    model: &'q NewModel,
) -> QueryScalar<'q, Postgres, i64, PgArguments> {
    query
        .bind(model.run_id)
        .bind(Sha256::digest(&model.bytes).to_vec())
        .bind(&model.bytes)
        .bind(&model.signature)
        .bind(&model.card)
        .bind(&model.task)
}

impl Models {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Registers a model without promoting it, and returns its version.
    ///
    /// # Errors
    /// The file is empty, [`Error::ModelTooLarge`], the run does not exist, or the database is unavailable.
    pub async fn register(&self, model: &NewModel) -> Result<i64> {
        check_size(model.bytes.len() as u64)?;
        let statement = format!("{INSERT} VALUES ($1, $2, length($3::bytea), $3, $4, $5, $6) RETURNING version");
        Ok(bind(sqlx::query_scalar(AssertSqlSafe(statement)), model).fetch_one(&self.pool).await?)
    }

    /// The same for the last part of a run, as long as no other process has taken it over.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], or those of [`Models::register`].
    pub async fn register_leased(&self, model: &NewModel, lease: &Lease) -> Result<i64> {
        const HELD: &str = "SELECT FROM run_parts
             WHERE run_id = $7 AND stage = $8 AND member = $9 AND fencing = $10 FOR SHARE";
        check_size(model.bytes.len() as u64)?;
        let statement = format!(
            "WITH held AS ({HELD})
             {INSERT} SELECT $1, $2, length($3::bytea), $3, $4, $5, $6 FROM held RETURNING version"
        );
        let part = lease.part();
        let query = bind(sqlx::query_scalar(AssertSqlSafe(statement)), model).bind(part.run).bind(&part.stage);
        let query = query.bind(part.member.cast_signed()).bind(lease.fencing());
        query.fetch_optional(&self.pool).await?.ok_or(Error::LeaseLost(part.run))
    }

    /// The version with this number, if it exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn get(&self, version: i64) -> Result<Option<ModelRecord>> {
        let query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} WHERE version = $1"))).bind(version);
        let row: Option<ModelRow> = query.fetch_optional(&self.pool).await?;
        Ok(row.map(ModelRecord::from))
    }

    /// The model file of the version with this number, if it exists.
    ///
    /// # Errors
    /// [`Error::DamagedModel`] if the checksum does not match, [`Error::ModelTooLarge`], or the database is unavailable.
    pub async fn bytes(&self, version: i64) -> Result<Option<Vec<u8>>> {
        // A check constraint ensures that this is the length of the bytes.
        let query = sqlx::query_scalar("SELECT size FROM models WHERE version = $1").bind(version);
        let Some(size): Option<i64> = query.fetch_optional(&self.pool).await? else { return Ok(None) };
        check_size(size.unsigned_abs())?;
        let query = sqlx::query_as("SELECT bytes, sha256 FROM models WHERE version = $1").bind(version);
        let row: Option<(Vec<u8>, Vec<u8>)> = query.fetch_optional(&self.pool).await?;
        let Some((bytes, sha256)) = row else { return Ok(None) };
        if *Sha256::digest(&bytes) == *sha256 { Ok(Some(bytes)) } else { Err(Error::DamagedModel(version)) }
    }

    /// All versions, the newest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn list(&self) -> Result<Vec<ModelRecord>> {
        let query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} ORDER BY version DESC")));
        let rows: Vec<ModelRow> = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(ModelRecord::from).collect())
    }

    /// The version named by `3`, `v3`, `latest` or an alias such as `champion` or `gb-price/champion`, if it exists.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn resolve(&self, name: &str) -> Result<Option<i64>> {
        let name = name.trim();
        let number = name.strip_prefix('v').unwrap_or(name).parse::<i64>();
        let query = match (name, number) {
            ("latest", _) => sqlx::query_scalar("SELECT max(version) FROM models"),
            (_, Ok(version)) => sqlx::query_scalar("SELECT max(version) FROM models WHERE version = $1").bind(version),
            (alias, Err(_)) => {
                sqlx::query_scalar("SELECT max(version) FROM model_aliases WHERE alias = $1").bind(alias)
            }
        };
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// The champion of a task, if a version has been promoted.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn champion(&self, task: &str) -> Result<Option<i64>> {
        self.resolve(&champion_of(task)).await
    }

    /// Whether a version is registered with a file of this SHA-256.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn contains(&self, version: i64, sha256: &[u8]) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT FROM models WHERE version = $1 AND sha256 = $2)";
        Ok(sqlx::query_scalar(query).bind(version).bind(sha256).fetch_one(&self.pool).await?)
    }

    /// The champions of all tasks by name of task.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn champions(&self) -> Result<BTreeMap<String, ModelFile>> {
        let query = "SELECT task, version, sha256 FROM model_aliases JOIN models USING (version)
                     WHERE alias = $1 OR alias LIKE '%/' || $1";
        let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(query).bind(CHAMPION).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(task, version, sha256)| (task, ModelFile { version, sha256 })).collect())
    }

    /// Listens for changes of aliases.
    #[must_use]
    pub fn listen(&self) -> ModelChanges {
        ModelChanges::new(self.pool.clone())
    }
}

fn check_size(size: u64) -> Result<()> {
    if size > MAX_MODEL_BYTES { Err(Error::ModelTooLarge { size, limit: MAX_MODEL_BYTES }) } else { Ok(()) }
}

#[derive(FromRow)]
struct ModelRow {
    version: i64,
    task: String,
    run_id: Option<i64>,
    created_at: DateTime<Utc>,
    sha256: String,
    size: i64,
    signature: Value,
    card: Value,
    aliases: Vec<String>,
}

impl From<ModelRow> for ModelRecord {
    fn from(row: ModelRow) -> Self {
        Self {
            version: row.version,
            task: row.task,
            run_id: row.run_id,
            created_at: row.created_at,
            sha256: row.sha256,
            size: row.size.unsigned_abs(),
            signature: row.signature,
            accuracy: row.card,
            aliases: row.aliases,
        }
    }
}
