//! The listings as they were at one moment, read in blocks, for training.

use std::time::Duration;

use chrono::NaiveDate;
use domain::identity::Split;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::timeout;

use crate::chunk::ListingChunk;
use crate::copy::{Decoder, column_names};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::retry::retried;

/// The listings as they were when it began, whatever is imported meanwhile. Holds a connection and an open transaction
/// until it is dropped. With [`Snapshot::retrying`] it outlives both: listings are numbered as they are imported and
/// not changed until they are renewed, so those up to a number are the same to any connection.
#[derive(Debug)]
pub struct Snapshot {
    database: Database,
    extent: Extent,
    /// The name by which other connections join the transaction that began the snapshot.
    exported: Option<String>,
    /// Taken out while it is used, so that one that broke or was left in the middle of a read is never used again.
    connection: Option<PgConnection>,
    retry_for: Duration,
}

/// What a snapshot contains, as opposed to everything imported later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The highest number of a listing.
    last_id: i64,
    /// The pages of the table; later ones hold only later listings.
    pages: u32,
    /// The file that the table is in: another one after its rows were moved.
    file: i64,
    /// How many times the listings had been renewed.
    #[serde(default)]
    revision: i64,
}

/// A server that takes longer than this for a block counts as unavailable, even if the network reports nothing.
const SILENCE: Duration = Duration::from_mins(1);
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Between two reads, training may compute for longer than the server's idle timeout.
const NO_TIMEOUTS: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0";

/// A range of the table's pages; each holds whatever rows lie there, of every split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    first_page: u32,
    end_page: u32,
}

/// Which rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    All,
    /// Those of a split.
    Split(Split),
    /// Those of all splits but one.
    AllBut(Split),
    /// Those of a split that were listed before a day, or on a day that is not known.
    Before(Split, NaiveDate),
    /// Those of every split that were listed on a day or later.
    Since(NaiveDate),
}

impl From<Split> for Part {
    fn from(split: Split) -> Self {
        Self::Split(split)
    }
}

impl Part {
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
            Self::Since(day) => format!("listing_date >= '{day}'"),
        }
    }
}

impl Snapshot {
    /// Takes a snapshot of the listings as they are now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin(database: &Database) -> Result<Self> {
        let mut connection = database.own_connection().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("{BEGIN}; {NO_TIMEOUTS}"))).execute(&mut connection).await?;
        let query = "SELECT coalesce((SELECT max(id) FROM listings), 0),
                            pg_relation_size('listings') / current_setting('block_size')::bigint,
                            pg_relation_filenode('listings')::bigint, (SELECT revision FROM canonical_form),
                            pg_export_snapshot()";
        let (last_id, pages, file, revision, exported): (i64, i64, i64, i64, String) =
            sqlx::query_as(query).fetch_one(&mut connection).await?;
        // A table ends at 2^32 - 2 pages.
        let extent = Extent { last_id, pages: u32::try_from(pages).unwrap_or(u32::MAX), file, revision };
        let retry_for = Duration::ZERO;
        Ok(Self {
            database: database.clone(),
            extent,
            exported: Some(exported),
            connection: Some(connection),
            retry_for,
        })
    }

    /// A snapshot that was held before, by this process or another. Connects when it is first used.
    #[must_use]
    pub fn again(database: &Database, extent: Extent) -> Self {
        let retry_for = Duration::ZERO;
        Self { database: database.clone(), extent, exported: None, connection: None, retry_for }
    }

    /// The same snapshot for another connection, which is opened when it is first used.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self {
            database: self.database.clone(),
            extent: self.extent,
            exported: self.exported.clone(),
            connection: None,
            retry_for: self.retry_for,
        }
    }

    /// Reconnects from now on when the database is unavailable, for up to this long.
    #[must_use]
    pub fn retrying(self, retry_for: Duration) -> Self {
        Self { retry_for, ..self }
    }

    /// Its contents, to reopen with [`Snapshot::again`].
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// How many rows each part has; reads the whole table once.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::ListingsMoved`].
    pub async fn rows<const N: usize>(&mut self, parts: [Part; N]) -> Result<[u64; N]> {
        let counts = parts.map(|part| format!("count(*) FILTER (WHERE {})", part.condition())).join(", ");
        let query = format!("SELECT ARRAY[{counts}] FROM listings WHERE id <= {}", self.extent.last_id);
        let counts: Vec<i64> = self
            .retried(async |connection| {
                Ok(sqlx::query_scalar(AssertSqlSafe(query.as_str())).fetch_one(connection).await?)
            })
            .await?;
        Ok(std::array::from_fn(|part| counts[part].unsigned_abs()))
    }

    /// The day that cuts off the newest part of the dated listings: as few whole days as hold this
    /// share of them. `None` when no listing is older than that.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::ListingsMoved`].
    pub async fn newest_day(&mut self, share: f64) -> Result<Option<NaiveDate>> {
        let query = "WITH days AS (
                 SELECT listing_date AS day,
                        sum(count(*)) OVER (ORDER BY listing_date DESC) AS listings_since,
                        sum(count(*)) OVER () AS listings
                 FROM listings WHERE listing_date IS NOT NULL AND id <= $2 GROUP BY listing_date
             )
             SELECT max(day) FROM days WHERE listings_since >= $1 * listings AND listings_since < listings";
        let last_id = self.extent.last_id;
        self.retried(async |connection| {
            Ok(sqlx::query_scalar(query).bind(share).bind(last_id).fetch_one(connection).await?)
        })
        .await
    }

    /// The whole table as blocks of this many pages (of 8 KiB, unless PostgreSQL was built otherwise), in physical order.
    /// The last may be shorter.
    #[must_use]
    pub fn blocks(&self, pages_per_block: u32) -> Vec<Block> {
        let (pages, step) = (self.extent.pages, pages_per_block.max(1));
        (0..pages)
            .step_by(step as usize)
            .map(|first_page| Block { first_page, end_page: pages.min(first_page.saturating_add(step)) })
            .collect()
    }

    /// The rows of a part in a block, in physical order; there may be none. An interrupted read starts over, so no row is
    /// returned twice.
    ///
    /// # Errors
    /// The database is unavailable, [`Error::ListingsMoved`], or the stream cannot be read.
    pub async fn read_block(&mut self, block: Block, part: impl Into<Part>) -> Result<ListingChunk> {
        let statement = statement(block, part.into(), self.extent.last_id);
        self.retried(async |connection| {
            let chunk = timeout(SILENCE, copy(connection, &statement)).await;
            chunk.unwrap_or_else(|_| Err(Error::silence(SILENCE)))
        })
        .await
    }

    async fn retried<T>(&mut self, work: impl AsyncFn(&mut PgConnection) -> Result<T>) -> Result<T> {
        retried(self.retry_for, async || {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.attach().await?,
            };
            let done = work(&mut connection).await?;
            self.connection = Some(connection);
            Ok(done)
        })
        .await
    }

    /// A connection that sees the snapshot: by joining its transaction or, once that is over, on its own.
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
        let now: (i64, i64) = sqlx::query_as(query).fetch_one(&mut connection).await?;
        if now == (self.extent.file, self.extent.revision) { Ok(connection) } else { Err(Error::ListingsMoved) }
    }

    /// The connection of the snapshot's own transaction, for statements that run to their end.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.connection.as_mut().ok_or(Error::SnapshotOver)
    }

    /// Reads what a COPY of all columns of a listing sends, in the snapshot's own transaction.
    pub(crate) async fn copy(&mut self, statement: &str) -> Result<ListingChunk> {
        let mut connection = self.connection.take().ok_or(Error::SnapshotOver)?;
        let chunk = copy(&mut connection, statement).await?;
        self.connection = Some(connection);
        Ok(chunk)
    }
}

async fn copy(connection: &mut PgConnection, statement: &str) -> Result<ListingChunk> {
    let mut decoder = Decoder::new();
    let mut pieces = connection.copy_out_raw(statement).await?;
    while let Some(piece) = pieces.next().await {
        decoder.push(&piece?)?;
    }
    Ok(decoder.finish()?)
}

/// Since PostgreSQL 14 a condition on `ctid` reads only the pages it names.
fn statement(block: Block, part: Part, last_id: i64) -> String {
    let Block { first_page, end_page } = block;
    format!(
        "COPY (SELECT {} FROM listings \
         WHERE ctid >= '({first_page},0)'::tid AND ctid < '({end_page},0)'::tid AND id <= {last_id} AND {}) \
         TO STDOUT (FORMAT binary)",
        column_names(),
        part.condition()
    )
}
