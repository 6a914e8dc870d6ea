//! The import of listings.

mod indexes;
mod renewal;

use domain::PricedListing;
use domain::identity::{CarGroup, Identity, canonical_listing};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::copy::{Encoder, column_names};
use crate::database::Database;
use crate::error::Result;
use crate::transaction::{Turn, execute, take_turn};

/// Rows are sent in pieces of about this many bytes.
const PIECE: usize = 1 << 18;
/// The columns of an import before those of the listing.
const IDENTITY: &str = "place, content_hash, listing_group, bucket, car_group, source";
const FIELDS: i16 = 6 + 20;
/// Of equal rows, the first of the file is kept.
const WITHOUT_REPETITIONS: &str = "DELETE FROM staging WHERE ctid IN (
    SELECT ctid FROM (
        SELECT ctid, row_number() OVER (PARTITION BY content_hash ORDER BY place) AS turn FROM staging
    ) AS numbered WHERE turn > 1
)";
/// No other import runs meanwhile, so the remaining rows are new.
const WITHOUT_KNOWN: &str = "DELETE FROM staging USING listings WHERE staging.content_hash = listings.content_hash";

impl Database {
    /// Brings the listings into the canonical form of this build, if another build stored them in another form. Imports do
    /// so themselves; training does it first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn renew_listings(&self) -> Result<()> {
        renewal::renew(&mut self.own_connection().await?).await
    }
}

/// What became of a file's accepted rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// How many there were.
    pub rows: u64,
    /// How many are new listings.
    pub added: u64,
    /// How many repeat an earlier row of the same file.
    pub repeated_in_file: u64,
    /// How many were in the database before.
    pub already_known: u64,
}

/// The import of one file: all of it is stored or, if this is dropped before [`Import::finish`], nothing. Imports wait
/// for one another.
#[derive(Debug)]
pub struct Import {
    pieces: mpsc::Sender<Vec<u8>>,
    /// Sends the pieces while the next one is encoded, and returns the connection at the end.
    sending: Option<JoinHandle<Result<PgConnection>>>,
    file: String,
    rows: u64,
    encoder: Encoder,
    is_clustered: bool,
}

impl Import {
    /// Begins the import of a file, named as it will appear in the list of imports, once no other import is running.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin(database: &Database, file: &str) -> Result<Self> {
        // A connection of its own: dropping it, as `send` does when the import is dropped, rolls everything back, even half
        // a COPY.
        let mut connection = database.own_connection().await?;
        renewal::renew(&mut connection).await?;
        // More memory gains little, and the machine may be small.
        sqlx::raw_sql("BEGIN; SET LOCAL work_mem = '32MB'; SET LOCAL maintenance_work_mem = '16MB'")
            .execute(&mut connection)
            .await?;
        take_turn(&mut connection, Turn::Import).await?;
        let staging = format!(
            "CREATE TEMPORARY TABLE staging ON COMMIT DROP AS \
             SELECT 0::bigint AS {IDENTITY}, {} FROM listings WITH NO DATA",
            column_names()
        );
        sqlx::raw_sql(AssertSqlSafe(staging)).execute(&mut connection).await?;
        let (pieces, received) = mpsc::channel(1);
        let sending = Some(tokio::spawn(send(connection, received)));
        Ok(Self { pieces, sending, file: file.to_owned(), rows: 0, encoder: Encoder::new(), is_clustered: false })
    }

    /// Stores rows sorted by brand and date instead of in file order: the worst case for sampling the table by blocks.
    #[must_use]
    pub fn clustered(self) -> Self {
        Self { is_clustered: true, ..self }
    }

    /// Writes any number of rows. They are stored in canonical form.
    ///
    /// # Errors
    /// The connection broke; the import is lost.
    pub async fn write(&mut self, rows: &[PricedListing]) -> Result<()> {
        for row in rows {
            encode(&mut self.encoder, self.rows, row);
            self.rows += 1;
            if self.encoder.len() >= PIECE {
                self.pass_on().await?;
            }
        }
        Ok(())
    }

    /// Stores the new rows and records the import, with the number of rows that the caller rejected.
    ///
    /// # Errors
    /// The connection broke, or a row violates a constraint of the table; nothing is stored.
    pub async fn finish(mut self, rejected: u64) -> Result<ImportCounts> {
        self.pass_on().await?;
        let Self { pieces, sending, file, rows, is_clustered, .. } = self;
        drop(pieces);
        let mut connection = sent(sending).await?;
        let repeated_in_file = execute(&mut connection, WITHOUT_REPETITIONS).await?;
        let already_known = execute(&mut connection, WITHOUT_KNOWN).await?;
        let indexes = indexes::set_aside(&mut connection).await?;
        let query = "SELECT EXISTS (SELECT FROM kept_buckets)";
        let has_kept_buckets = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        let added = execute(&mut connection, &insertion(is_clustered, has_kept_buckets)).await?;
        for index in indexes {
            execute(&mut connection, &index).await?;
        }
        let counts = ImportCounts { rows, added, repeated_in_file, already_known };
        note(&mut connection, &file, &counts, rejected).await?;
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        if let Err(error) = sqlx::raw_sql("ANALYZE listings").execute(&mut connection).await {
            tracing::warn!(%error, "The statistics of the listings were not refreshed; queries may be slower.");
        }
        connection.close().await?;
        Ok(counts)
    }

    async fn pass_on(&mut self) -> Result<()> {
        let piece = std::mem::replace(&mut self.encoder, Encoder::new()).into_stream();
        match self.pieces.send(piece).await {
            Ok(()) => Ok(()),
            // The receiver ended with an error.
            Err(_) => sent(self.sending.take()).await.map(drop),
        }
    }
}

/// Copies pieces into the staging table until there are no more. Each is a COPY of its own, so that an error shows at
/// once and not after the last row.
async fn send(mut connection: PgConnection, mut pieces: mpsc::Receiver<Vec<u8>>) -> Result<PgConnection> {
    let statement = format!("COPY staging ({IDENTITY}, {}) FROM STDIN (FORMAT binary)", column_names());
    while let Some(piece) = pieces.recv().await {
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(piece).await?;
        copy.finish().await?;
    }
    Ok(connection)
}

async fn sent(sending: Option<JoinHandle<Result<PgConnection>>>) -> Result<PgConnection> {
    match sending {
        Some(sending) => sending.await.map_err(|_| sqlx::Error::WorkerCrashed)?,
        None => Err(sqlx::Error::WorkerCrashed.into()),
    }
}

async fn note(connection: &mut PgConnection, file: &str, counts: &ImportCounts, rejected: u64) -> Result<()> {
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

fn insertion(is_clustered: bool, has_kept_buckets: bool) -> String {
    let columns = column_names();
    // A subquery, since a join need not keep the order of the rows.
    let bucket = if has_kept_buckets {
        "coalesce((SELECT bucket FROM kept_buckets WHERE kept_buckets.listing_group = rows.listing_group), bucket)"
    } else {
        "bucket"
    };
    let rows = if is_clustered {
        // Comparing takes a third of the time where what is compared comes first in a row.
        "(SELECT place, listing_date AS day, brand AS make, * FROM staging ORDER BY make, day, place)"
    } else {
        // A temporary table is scanned by one process from its first row, which is file order: sorting would only write
        // everything once more.
        "staging"
    };
    format!(
        "INSERT INTO listings (content_hash, listing_group, bucket, car_group, source, {columns}) \
         SELECT content_hash, listing_group, {bucket}, car_group, source, {columns} FROM {rows} AS rows"
    )
}

fn encode(encoder: &mut Encoder, place: u64, row: &PricedListing) {
    let listing = canonical_listing(&row.listing);
    // PostgreSQL stores no zero bytes, and a source is not worth rejecting a file for.
    let source = row.source.as_ref().map(|source| source.replace('\0', ""));
    let car_group = row.car_group.as_deref().map(CarGroup::new);
    let identity = Identity::new(&listing, row.price, car_group, source.as_deref());
    encoder.begin_row(FIELDS);
    encoder.field(&place.to_be_bytes());
    encoder.identity(&identity, car_group);
    encoder.optional(source.as_ref().map(String::as_bytes));
    encoder.listing(&listing, row.price);
}
