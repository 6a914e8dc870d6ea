//! A consistent snapshot of the listings, read in blocks for training.

use std::time::Duration;

use chrono::NaiveDate;
use domain::identity::Split;
use domain::task::{Condition, Operator};
use domain::{Column, Task, Value};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;

use crate::chunk::ListingChunk;
use crate::copy::{Decoder, column_names};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::markets::schema;
use crate::retry::retry_while_unavailable;

/// A snapshot of the listings, unaffected by later imports. Holds a connection with an open transaction until it is dropped.
/// With [`Snapshot::with_retry_limit`] it survives the loss of both: listings are numbered in import order and do not change
/// until they are converted to another canonical form, so those up to a number are the same on any connection.
#[derive(Debug)]
pub struct Snapshot {
    database: Database,
    extent: Extent,
    selection: Selection,
    /// The name of the exported snapshot, with which other connections join its transaction.
    exported: Option<String>,
    /// `None` while it is in use, so that a connection is never reused after a failed or cancelled read.
    connection: Option<PgConnection>,
    retry_for: Duration,
}

/// The listings of a task, in SQL.
#[derive(Clone, Debug)]
struct Selection {
    /// The column of the target.
    target: Column,
    /// The condition that selects them.
    condition: String,
}

/// The contents of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The highest id of a listing.
    last_id: i64,
    /// The number of pages of the table; later pages only have later listings.
    pages: u32,
    /// The file of the table, which changes when the table is rewritten.
    file: i64,
    /// The number of conversions to another canonical form.
    #[serde(default)]
    revision: i64,
}

impl Extent {
    /// The highest id of a listing.
    #[must_use]
    pub fn last_id(self) -> i64 {
        self.last_id
    }
}

/// The time limit for reading a block, after which the database counts as unavailable.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Begins a snapshot transaction.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Training may compute between reads for longer than the idle timeout of the server.
const NO_TIMEOUTS: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0";

/// A range of pages of the table, with rows of all splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    first_page: u32,
    end_page: u32,
}

/// Which rows to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFilter {
    /// All rows.
    All,
    /// The rows of a split.
    Split(Split),
    /// The rows of all other splits.
    AllBut(Split),
    /// The rows of a split that were listed before a date or have no date.
    Before(Split, NaiveDate),
    /// The rows of a split that were listed on or after a date.
    Since(Split, NaiveDate),
}

impl From<Split> for RowFilter {
    fn from(split: Split) -> Self {
        Self::Split(split)
    }
}

impl RowFilter {
    fn condition(self) -> String {
        let buckets = |split: Split| {
            let (first, last) = split.buckets();
            format!("bucket BETWEEN {first} AND {last}")
        };
        match self {
            Self::All => "true".to_owned(),
            Self::Split(split) => buckets(split),
            Self::AllBut(split) => format!("NOT ({})", buckets(split)),
            Self::Before(split, day) => {
                format!("{} AND (listing_date IS NULL OR listing_date < '{day}')", buckets(split))
            }
            Self::Since(split, day) => format!("{} AND listing_date >= '{day}'", buckets(split)),
        }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self { target: Column::Price, condition: "true".to_owned() }
    }
}

impl Selection {
    fn new(task: &Task) -> Result<Self> {
        let conditions = task.parse_conditions().map_err(|cause| Error::Task { name: task.name.clone(), cause })?;
        let is_known = (task.target != Column::Price).then(|| format!("{} IS NOT NULL", task.target.name()));
        let conditions: Vec<String> = is_known.into_iter().chain(conditions.iter().map(condition_sql)).collect();
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        Ok(Self { target: task.target, condition })
    }

    /// The columns of a stream: the descriptive ones and the target as a price.
    fn column_names(&self) -> String {
        match self.target {
            Column::Price => column_names(),
            // A car that is gone within a day stood for one: logarithms need a positive number.
            Column::DaysListed => {
                column_names().replace(", price", ", greatest(days_listed, 1)::double precision AS price")
            }
            other => column_names().replace(", price", &format!(", {} AS price", other.name())),
        }
    }
}

/// A condition as SQL.
fn condition_sql(condition: &Condition) -> String {
    let literal = |value: &Value| match value {
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Number(number) => number.to_string(),
        Value::Date(date) => format!("'{date}'"),
    };
    let column = condition.column.name();
    let values = condition.values.iter().map(literal).collect::<Vec<_>>().join(", ");
    match condition.operator {
        Operator::Equal => format!("{column} IN ({values})"),
        Operator::NotEqual => format!("{column} NOT IN ({values})"),
        Operator::Less => format!("{column} < {values}"),
        Operator::AtMost => format!("{column} <= {values}"),
        Operator::Greater => format!("{column} > {values}"),
        Operator::AtLeast => format!("{column} >= {values}"),
    }
}

impl Snapshot {
    /// Creates a snapshot of the current listings.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn begin(database: &Database) -> Result<Self> {
        Self::begin_on(database, database.own_connection().await?).await
    }

    /// A snapshot for [`profile`](crate::profile), whose queries see only the listings of a task, with its target as the price:
    /// a temporary view takes the place of the table.
    ///
    /// # Errors
    /// The database is unavailable, or a condition of the task is invalid.
    pub async fn begin_for_report(database: &Database, task: &Task) -> Result<Self> {
        let mut connection = database.own_connection().await?;
        if task.target != Column::Price || !task.conditions.is_empty() {
            let selection = Selection::new(task)?;
            let view = format!(
                "CREATE TEMPORARY VIEW listings AS SELECT id, content_hash, listing_group, bucket, car_group, source, {} FROM {}.listings WHERE {}",
                selection.column_names(),
                schema(database.market()),
                selection.condition
            );
            sqlx::raw_sql(AssertSqlSafe(view)).execute(&mut connection).await?;
        }
        Self::begin_on(database, connection).await
    }

    async fn begin_on(database: &Database, mut connection: PgConnection) -> Result<Self> {
        sqlx::raw_sql(AssertSqlSafe(format!("{BEGIN}; {NO_TIMEOUTS}"))).execute(&mut connection).await?;
        let query = "SELECT coalesce((SELECT max(id) FROM listings), 0),
                            coalesce(pg_relation_size('listings'), 0) / current_setting('block_size')::bigint,
                            coalesce(pg_relation_filenode('listings'), 0)::bigint,
                            (SELECT revision FROM canonical_form), pg_export_snapshot()";
        let (last_id, pages, file, revision, exported): (i64, i64, i64, i64, String) =
            sqlx::query_as(query).fetch_one(&mut connection).await?;
        // A table has at most 2^32 - 2 pages.
        let extent = Extent { last_id, pages: u32::try_from(pages).unwrap_or(u32::MAX), file, revision };
        let retry_for = Duration::ZERO;
        Ok(Self {
            database: database.clone(),
            extent,
            selection: Selection::default(),
            exported: Some(exported),
            connection: Some(connection),
            retry_for,
        })
    }

    /// Reopens an earlier snapshot, possibly of another process. Connects on first use.
    #[must_use]
    pub fn reopen(database: &Database, extent: Extent) -> Self {
        let retry_for = Duration::ZERO;
        let selection = Selection::default();
        Self { database: database.clone(), extent, selection, exported: None, connection: None, retry_for }
    }

    /// The same snapshot with another connection, which is opened on first use.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self {
            database: self.database.clone(),
            extent: self.extent,
            selection: self.selection.clone(),
            exported: self.exported.clone(),
            connection: None,
            retry_for: self.retry_for,
        }
    }

    /// The same snapshot, which reconnects for up to this long while the database is unavailable.
    #[must_use]
    pub fn with_retry_limit(self, retry_for: Duration) -> Self {
        Self { retry_for, ..self }
    }

    /// The same snapshot, restricted to the listings of a task, with its target.
    ///
    /// # Errors
    /// A condition of the task is invalid.
    pub fn for_task(self, task: &Task) -> Result<Self> {
        Ok(Self { selection: Selection::new(task)?, ..self })
    }

    /// The contents, for [`Snapshot::reopen`].
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Counts the rows for each filter in one scan of the table.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::ListingsMoved`].
    pub async fn rows<const N: usize>(&mut self, filters: [RowFilter; N]) -> Result<[u64; N]> {
        let counts = filters.map(|filter| format!("count(*) FILTER (WHERE {})", filter.condition())).join(", ");
        let query = format!(
            "SELECT ARRAY[{counts}] FROM listings WHERE id <= {} AND {}",
            self.extent.last_id, self.selection.condition
        );
        let counts: Vec<i64> = self
            .with_connection(async |connection| {
                Ok(sqlx::query_scalar(AssertSqlSafe(query.as_str())).fetch_one(connection).await?)
            })
            .await?;
        Ok(std::array::from_fn(|index| counts[index].unsigned_abs()))
    }

    /// The first of the fewest newest days that contain this share of the dated listings; `None` if no older listings would
    /// remain.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::ListingsMoved`].
    pub async fn newest_day(&mut self, share: f64) -> Result<Option<NaiveDate>> {
        let query = format!(
            "WITH days AS (
                 SELECT listing_date AS day,
                        sum(count(*)) OVER (ORDER BY listing_date DESC) AS listings_since,
                        sum(count(*)) OVER () AS listings
                 FROM listings WHERE listing_date IS NOT NULL AND id <= $2 AND {} GROUP BY listing_date
             )
             SELECT max(day) FROM days WHERE listings_since >= $1 * listings AND listings_since < listings",
            self.selection.condition
        );
        let last_id = self.extent.last_id;
        self.with_connection(async |connection| {
            Ok(sqlx::query_scalar(AssertSqlSafe(query.as_str()))
                .bind(share)
                .bind(last_id)
                .fetch_one(connection)
                .await?)
        })
        .await
    }

    /// The table as blocks of this many pages (of 8 KiB by default), in physical order. The last block may be shorter.
    #[must_use]
    pub fn blocks(&self, pages_per_block: u32) -> Vec<Block> {
        let (pages, step) = (self.extent.pages, pages_per_block.max(1));
        (0..pages)
            .step_by(step as usize)
            .map(|first_page| Block { first_page, end_page: pages.min(first_page.saturating_add(step)) })
            .collect()
    }

    /// Reads the matching rows of a block in physical order. A failed read starts over, so no row is returned twice.
    ///
    /// # Errors
    /// The database is unavailable, [`Error::ListingsMoved`], or the stream is malformed.
    pub async fn read_block(&mut self, block: Block, filter: impl Into<RowFilter>) -> Result<ListingChunk> {
        let statement = copy_statement(block, filter.into(), &self.selection, self.extent.last_id);
        self.with_connection(async |connection| {
            let chunk = timeout(READ_TIMEOUT, copy(connection, &statement)).await;
            chunk.unwrap_or_else(|_| Err(Error::no_response(READ_TIMEOUT)))
        })
        .await
    }

    /// Runs an operation on the snapshot's connection, with retries.
    async fn with_connection<T>(&mut self, work: impl AsyncFn(&mut PgConnection) -> Result<T>) -> Result<T> {
        retry_while_unavailable(self.retry_for, async || {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.attach().await?,
            };
            let result = work(&mut connection).await?;
            self.connection = Some(connection);
            Ok(result)
        })
        .await
    }

    /// Opens a connection to the snapshot, in its transaction if that is still open.
    async fn attach(&mut self) -> Result<PgConnection> {
        let mut connection = self.database.own_connection().await?;
        if let Some(exported) = self.exported.take() {
            let join = format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{exported}'; {NO_TIMEOUTS}");
            if sqlx::raw_sql(AssertSqlSafe(join)).execute(&mut connection).await.is_ok() {
                self.exported = Some(exported);
                return Ok(connection);
            }
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("{BEGIN}; {NO_TIMEOUTS}"))).execute(&mut connection).await?;
        let query = "SELECT pg_relation_filenode('listings')::bigint, (SELECT revision FROM canonical_form)";
        let current: (i64, i64) = sqlx::query_as(query).fetch_one(&mut connection).await?;
        if current == (self.extent.file, self.extent.revision) { Ok(connection) } else { Err(Error::ListingsMoved) }
    }

    /// The connection of the snapshot's transaction, for queries that are not cancelled.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.connection.as_mut().ok_or(Error::SnapshotEnded)
    }

    /// Reads the result of a COPY of all columns of a listing, in the snapshot's transaction.
    pub(crate) async fn copy(&mut self, statement: &str) -> Result<ListingChunk> {
        let mut connection = self.connection.take().ok_or(Error::SnapshotEnded)?;
        let chunk = copy(&mut connection, statement).await?;
        self.connection = Some(connection);
        Ok(chunk)
    }
}

async fn copy(connection: &mut PgConnection, statement: &str) -> Result<ListingChunk> {
    let mut decoder = Decoder::new();
    let mut chunks = connection.copy_out_raw(statement).await?;
    while let Some(chunk) = chunks.next().await {
        decoder.push(&chunk?)?;
    }
    Ok(decoder.finish()?)
}

/// The COPY statement for a block. Since PostgreSQL 14, a condition on `ctid` reads only these pages.
fn copy_statement(block: Block, filter: RowFilter, selection: &Selection, last_id: i64) -> String {
    let Block { first_page, end_page } = block;
    format!(
        "COPY (SELECT {} FROM listings \
         WHERE ctid >= '({first_page},0)'::tid AND ctid < '({end_page},0)'::tid AND id <= {last_id} AND {} AND {}) \
         TO STDOUT (FORMAT binary)",
        selection.column_names(),
        filter.condition(),
        selection.condition
    )
}
