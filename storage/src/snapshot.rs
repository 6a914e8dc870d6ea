//! The listings as they were at one moment, read in blocks, for training.

use chrono::NaiveDate;
use domain::identity::Split;
use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::chunk::ListingChunk;
use crate::copy::{Decoder, column_names};
use crate::database::Database;
use crate::error::{Error, Result};

/// The listings as they were when it began, whatever is imported meanwhile. Holds a connection and
/// an open transaction until it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    /// A read that did not reach its end leaves rows in the connection: no other may follow.
    is_over: bool,
}

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
    /// Begins a snapshot.
    ///
    /// # Errors
    /// A database that does not answer.
    pub async fn begin(database: &Database) -> Result<Self> {
        let mut connection = database.own_connection().await?;
        // Between two reads the training may compute for longer than a server lets others idle.
        sqlx::raw_sql(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL idle_in_transaction_session_timeout = 0;
             SET LOCAL statement_timeout = 0;
             SELECT count(*) FROM (SELECT FROM listings LIMIT 1) AS takes_the_snapshot_now",
        )
        .execute(&mut connection)
        .await?;
        Ok(Self { connection, is_over: false })
    }

    /// How many rows a part has.
    ///
    /// # Errors
    /// A connection that broke, or [`Error::SnapshotOver`].
    pub async fn rows(&mut self, part: impl Into<Part>) -> Result<u64> {
        self.check()?;
        let query = format!("SELECT count(*) FROM listings WHERE {}", part.into().condition());
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.connection).await?;
        Ok(count.unsigned_abs())
    }

    /// The day that cuts off the newest part of the dated listings: as few whole days as hold this
    /// share of them. `None` when no listing is older than that.
    ///
    /// # Errors
    /// A connection that broke, or [`Error::SnapshotOver`].
    pub async fn newest_day(&mut self, share: f64) -> Result<Option<NaiveDate>> {
        self.check()?;
        let query = "WITH days AS (
                 SELECT listing_date AS day,
                        sum(count(*)) OVER (ORDER BY listing_date DESC) AS listings_since,
                        sum(count(*)) OVER () AS listings
                 FROM listings WHERE listing_date IS NOT NULL GROUP BY listing_date
             )
             SELECT max(day) FROM days WHERE listings_since >= $1 * listings AND listings_since < listings";
        Ok(sqlx::query_scalar(query).bind(share).fetch_one(&mut self.connection).await?)
    }

    /// The whole table as blocks of this many pages (of 8 KiB, unless PostgreSQL was built
    /// otherwise), in the order in which they lie. The last may be shorter.
    ///
    /// # Errors
    /// A connection that broke, or [`Error::SnapshotOver`].
    pub async fn blocks(&mut self, pages_per_block: u32) -> Result<Vec<Block>> {
        self.check()?;
        let query = "SELECT pg_relation_size('listings') / current_setting('block_size')::bigint";
        let pages: i64 = sqlx::query_scalar(query).fetch_one(&mut self.connection).await?;
        // A table ends at 2^32 - 2 pages.
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let step = pages_per_block.max(1);
        let begins = (0..pages).step_by(step as usize);
        Ok(begins
            .map(|first_page| Block { first_page, end_page: pages.min(first_page.saturating_add(step)) })
            .collect())
    }

    /// The rows of a part in a block; there may be none.
    ///
    /// # Errors
    /// A connection that broke, a stream that cannot be read, or [`Error::SnapshotOver`] after an
    /// earlier read failed or was dropped before its end.
    pub async fn read(&mut self, block: Block, part: impl Into<Part>) -> Result<ListingChunk> {
        self.copy(&statement(block, part.into())).await
    }

    /// The connection, for statements that run to their end.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection> {
        self.check()?;
        Ok(&mut self.connection)
    }

    /// Reads what a COPY of all columns of a listing sends.
    pub(crate) async fn copy(&mut self, statement: &str) -> Result<ListingChunk> {
        self.check()?;
        self.is_over = true;
        let mut decoder = Decoder::new();
        let mut pieces = self.connection.copy_out_raw(statement).await?;
        while let Some(piece) = pieces.next().await {
            decoder.push(&piece?)?;
        }
        drop(pieces);
        self.is_over = false;
        Ok(decoder.finish()?)
    }

    fn check(&self) -> Result<()> {
        if self.is_over { Err(Error::SnapshotOver) } else { Ok(()) }
    }
}

/// Since PostgreSQL 14 a condition on `ctid` reads only the pages it names.
fn statement(block: Block, part: Part) -> String {
    let Block { first_page, end_page } = block;
    format!(
        "COPY (SELECT {} FROM listings \
         WHERE ctid >= '({first_page},0)'::tid AND ctid < '({end_page},0)'::tid AND {}) \
         TO STDOUT (FORMAT binary)",
        column_names(),
        part.condition()
    )
}
