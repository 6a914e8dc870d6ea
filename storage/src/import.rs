//! The import of listings.

mod indexes;
mod recanonicalization;

use domain::identity::{CarGroup, Identity, canonical_listing};
use domain::{Column, Market, PricedListing, Task};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::copy::{Encoder, stored_column_names};
use crate::database::Database;
use crate::error::Result;
use crate::tasks;
use crate::transaction::{TransactionLock, acquire_lock, execute};

/// The approximate size of a chunk of rows in bytes.
const CHUNK_BYTES: usize = 1 << 18;
/// The columns of the staging table before those of the listing.
const IDENTITY: &str = "file_row, content_hash, listing_group, bucket, car_group, source";
const FIELDS: i16 = 6 + 22;
/// Deletes all but the first of identical rows.
const DELETE_REPEATED: &str = "DELETE FROM staging WHERE ctid IN (
    SELECT ctid FROM (
        SELECT ctid, row_number() OVER (PARTITION BY content_hash ORDER BY file_row) AS occurrence FROM staging
    ) AS numbered WHERE occurrence > 1
)";
/// Deletes rows that are already stored. No other import can run at the same time.
const DELETE_KNOWN: &str = "DELETE FROM staging USING listings WHERE staging.content_hash = listings.content_hash";

impl Database {
    /// Converts the stored listings to the canonical form of this version, if it differs. Imports do this themselves; call it
    /// before training.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn recanonicalize_listings(&self) -> Result<()> {
        recanonicalization::recanonicalize(&mut self.own_connection().await?, self.market()).await
    }
}

/// The numbers of accepted rows of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// All accepted rows.
    pub rows: u64,
    /// New listings.
    pub added: u64,
    /// Repetitions of an earlier row of the same file.
    pub repeated_in_file: u64,
    /// Rows that were already in the database.
    pub already_known: u64,
}

/// The atomic import of a file: if this is dropped before [`Import::finish`], nothing is stored. Concurrent imports wait for
/// each other.
#[derive(Debug)]
pub struct Import {
    chunks: mpsc::Sender<Vec<u8>>,
    /// The task that sends chunks while the next one is encoded. It returns the connection at the end.
    sender_task: Option<JoinHandle<Result<PgConnection>>>,
    file: String,
    market: Market,
    rows: u64,
    /// The targets that rows have.
    targets: Vec<Column>,
    encoder: Encoder,
    is_clustered: bool,
}

impl Import {
    /// Starts the import of a file with this name, once no other import is running.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn begin(database: &Database, file: &str) -> Result<Self> {
        // Dropping this connection, as `send_chunks` does when the import is dropped, rolls back everything, including an
        // unfinished COPY.
        let mut connection = database.own_connection().await?;
        recanonicalization::recanonicalize(&mut connection, database.market()).await?;
        // More memory would hardly help.
        sqlx::raw_sql("BEGIN; SET LOCAL work_mem = '32MB'; SET LOCAL maintenance_work_mem = '16MB'")
            .execute(&mut connection)
            .await?;
        acquire_lock(&mut connection, TransactionLock::Import).await?;
        let staging = format!(
            "CREATE TEMPORARY TABLE staging ON COMMIT DROP AS \
             SELECT 0::bigint AS {IDENTITY}, {} FROM listings WITH NO DATA",
            stored_column_names()
        );
        sqlx::raw_sql(AssertSqlSafe(staging)).execute(&mut connection).await?;
        let (chunks, received) = mpsc::channel(1);
        let sender_task = Some(tokio::spawn(send_chunks(connection, received)));
        Ok(Self {
            chunks,
            sender_task,
            file: file.to_owned(),
            market: database.market().clone(),
            rows: 0,
            targets: vec![Column::Price],
            encoder: Encoder::new(),
            is_clustered: false,
        })
    }

    /// Stores rows sorted by brand and date instead of in file order, which is the worst case for sampling by blocks.
    #[must_use]
    pub fn clustered(self) -> Self {
        Self { is_clustered: true, ..self }
    }

    /// Writes rows, in canonical form.
    ///
    /// # Errors
    /// The connection is lost, and the import with it.
    pub async fn write(&mut self, rows: &[PricedListing]) -> Result<()> {
        for row in rows {
            encode_row(&mut self.encoder, self.rows, row, &self.market);
            let others = [(Column::SalePrice, row.targets.sale_price), (Column::DaysListed, row.targets.days_listed)];
            for (column, target) in others {
                if target.is_some() && !self.targets.contains(&column) {
                    self.targets.push(column);
                }
            }
            self.rows += 1;
            if self.encoder.len() >= CHUNK_BYTES {
                self.send_buffered().await?;
            }
        }
        Ok(())
    }

    /// Stores the new rows and the tasks of their targets, and records the import with the number of rejected rows.
    ///
    /// # Errors
    /// The connection is lost, or a row violates a constraint of the table. Nothing is stored then.
    pub async fn finish(mut self, rejected: u64) -> Result<ImportCounts> {
        self.send_buffered().await?;
        let Self { chunks, sender_task, file, market, rows, targets, is_clustered, .. } = self;
        drop(chunks);
        let mut connection = join_sender(sender_task).await?;
        let repeated_in_file = execute(&mut connection, DELETE_REPEATED).await?;
        let already_known = execute(&mut connection, DELETE_KNOWN).await?;
        let indexes = indexes::drop_if_empty(&mut connection).await?;
        let query = "SELECT EXISTS (SELECT FROM kept_buckets)";
        let has_kept_buckets = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        let added = execute(&mut connection, &insert_statement(is_clustered, has_kept_buckets)).await?;
        for index in indexes {
            execute(&mut connection, &index).await?;
        }
        let counts = ImportCounts { rows, added, repeated_in_file, already_known };
        record_import(&mut connection, &file, &counts, rejected).await?;
        for target in targets {
            tasks::add(&mut connection, &Task::of_market(&market, target)).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        if let Err(error) = sqlx::raw_sql("ANALYZE listings").execute(&mut connection).await {
            tracing::warn!(%error, "ANALYZE of the listings failed; queries may be slower.");
        }
        connection.close().await?;
        Ok(counts)
    }

    async fn send_buffered(&mut self) -> Result<()> {
        let chunk = std::mem::replace(&mut self.encoder, Encoder::new()).into_stream();
        match self.chunks.send(chunk).await {
            Ok(()) => Ok(()),
            // The task has failed.
            Err(_) => join_sender(self.sender_task.take()).await.map(drop),
        }
    }
}

/// Copies chunks into the staging table. Each one is a separate COPY, so that errors are reported immediately.
async fn send_chunks(mut connection: PgConnection, mut chunks: mpsc::Receiver<Vec<u8>>) -> Result<PgConnection> {
    let statement = format!("COPY staging ({IDENTITY}, {}) FROM STDIN (FORMAT binary)", stored_column_names());
    while let Some(chunk) = chunks.recv().await {
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(chunk).await?;
        copy.finish().await?;
    }
    Ok(connection)
}

async fn join_sender(sender_task: Option<JoinHandle<Result<PgConnection>>>) -> Result<PgConnection> {
    match sender_task {
        Some(sender_task) => sender_task.await.map_err(|_| sqlx::Error::WorkerCrashed)?,
        None => Err(sqlx::Error::WorkerCrashed.into()),
    }
}

async fn record_import(connection: &mut PgConnection, file: &str, counts: &ImportCounts, rejected: u64) -> Result<()> {
    sqlx::query(
        "INSERT INTO imports (file, rows, added, repeated_in_file, already_known, rejected)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(file)
    .bind(counts.rows.cast_signed())
    .bind(counts.added.cast_signed())
    .bind(counts.repeated_in_file.cast_signed())
    .bind(counts.already_known.cast_signed())
    .bind(rejected.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

fn insert_statement(is_clustered: bool, has_kept_buckets: bool) -> String {
    let columns = stored_column_names();
    // A subquery, since a join may change the order of the rows.
    let bucket = if has_kept_buckets {
        "coalesce((SELECT bucket FROM kept_buckets WHERE kept_buckets.listing_group = rows.listing_group), bucket)"
    } else {
        "bucket"
    };
    let rows = if is_clustered {
        // Sorting is three times faster if the sort keys are the first columns.
        "(SELECT file_row, listing_date AS day, brand AS make, * FROM staging ORDER BY make, day, file_row)"
    } else {
        // A temporary table is scanned sequentially, which is file order, so sorting is unnecessary.
        "staging"
    };
    format!(
        "INSERT INTO listings (content_hash, listing_group, bucket, car_group, source, {columns}) \
         SELECT content_hash, listing_group, {bucket}, car_group, source, {columns} FROM {rows} AS rows"
    )
}

fn encode_row(encoder: &mut Encoder, file_row: u64, row: &PricedListing, market: &Market) {
    let listing = canonical_listing(&row.listing, market);
    // PostgreSQL text cannot contain NUL, which is no reason to reject the file.
    let source = row.source.as_ref().map(|source| source.replace('\0', ""));
    let car_group = row.car_group.as_deref().map(CarGroup::new);
    let identity = Identity::new(&listing, &row.targets, car_group, source.as_deref());
    encoder.start_row(FIELDS);
    encoder.write_field(&file_row.to_be_bytes());
    encoder.write_identity(&identity, car_group);
    encoder.write_optional(source.as_ref().map(String::as_bytes));
    encoder.write_row(&listing, &row.targets);
}
