//! Converts stored listings to the canonical form of this version.
//!
//! The texts, hashes and group of a listing depend on normalization rules and synonyms. After a new synonym, the same file
//! would yield new listings, and the same car could be in another split. So the form is stored with the listings, and the
//! first import or training with a different form converts all of them in one transaction: duplicates are merged into the
//! earliest listing, merged groups keep the split of their earliest listing, and all other groups keep their split.
//!
//! The conversion cannot be undone: removing or changing a synonym does not affect texts that were stored under it.

use domain::identity::{CarGroup, Identity, canonical_form, canonical_listing, hash_stable_columns};
use domain::{Market, Targets};
use futures_util::StreamExt;
use sqlx::{Connection, FromRow, PgConnection};

use crate::chunk::ListingChunk;
use crate::copy::{Decoder, Encoder, column_names};
use crate::error::Result;
use crate::transaction::{TransactionLock, acquire_lock, execute};

/// The number of listings to convert at a time.
const BATCH_ROWS: i64 = 8192;
/// The columns of the temporary table before those of the listing.
const IDENTITY: &str = "id, content_hash, listing_group, bucket, car_group";
const FIELDS: i16 = 5 + 20;

const STORED_FORM: &str = "SELECT uuid_send(form) FROM canonical_form";
const RECORD_FORM: &str = "UPDATE canonical_form SET form = encode($1, 'hex')::uuid, renewed_at = now(),
                           revision = revision + CASE WHEN $2 THEN 1 ELSE 0 END";

/// Deletes all but the first of identical listings.
const DELETE_REPEATED: &str = "
    WITH repeated AS (
        DELETE FROM renewed WHERE ctid IN (
            SELECT ctid FROM (
                SELECT ctid, row_number() OVER (PARTITION BY content_hash ORDER BY id) AS occurrence FROM renewed
            ) AS numbered WHERE occurrence > 1
        ) RETURNING id
    )
    DELETE FROM listings USING repeated WHERE listings.id = repeated.id";

/// Records the groups whose first listing is in a bucket other than that of the group's hash.
const KEEP_BUCKETS: &str = "
    INSERT INTO kept_buckets (listing_group, bucket)
    SELECT listing_group, was FROM (
        SELECT DISTINCT ON (renewed.listing_group) renewed.listing_group, listings.bucket AS was, renewed.bucket
        FROM renewed JOIN listings USING (id) ORDER BY renewed.listing_group, id
    ) AS first WHERE was <> bucket";

const APPLY_KEPT_BUCKETS: &str = "UPDATE renewed SET bucket = kept_buckets.bucket FROM kept_buckets
                                 WHERE renewed.listing_group = kept_buckets.listing_group";

/// Converts all listings to the canonical form of this version if necessary, once no import is running.
pub(super) async fn recanonicalize(connection: &mut PgConnection, market: &Market) -> Result<()> {
    let form = canonical_form(market);
    if stored_form(connection).await?.as_deref() == Some(&form) {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL work_mem = '32MB'").execute(&mut *transaction).await?;
    acquire_lock(&mut transaction, TransactionLock::Import).await?;
    // Another process may have converted them in the meantime.
    let stored = stored_form(&mut transaction).await?;
    if stored.as_deref() == Some(&form) {
        return Ok(transaction.rollback().await?);
    }
    let changed = convert_all(&mut transaction, market, stored.is_none()).await?;
    sqlx::query(RECORD_FORM).bind(form.as_slice()).bind(changed.any()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    if changed.any() {
        tracing::info!(
            listings.changed = changed.updated,
            listings.merged = changed.merged,
            "Stored listings were brought into the canonical form of this version."
        );
    }
    Ok(())
}

/// The numbers of updated listings and of listings merged into an earlier one.
struct Changed {
    updated: u64,
    merged: u64,
}

impl Changed {
    fn any(&self) -> bool {
        self.updated + self.merged > 0
    }
}

async fn stored_form(connection: &mut PgConnection) -> Result<Option<Vec<u8>>> {
    let form: Option<Option<Vec<u8>>> = sqlx::query_scalar(STORED_FORM).fetch_optional(connection).await?;
    Ok(form.flatten())
}

async fn convert_all(connection: &mut PgConnection, market: &Market, is_form_unknown: bool) -> Result<Changed> {
    let columns = column_names();
    let table = format!(
        "CREATE TEMPORARY TABLE renewed ON COMMIT DROP AS SELECT {IDENTITY}, {columns} FROM listings WITH NO DATA"
    );
    execute(connection, &table).await?;
    let mut last = 0;
    loop {
        let batch = read_identities(connection, last).await?;
        let Some(newest) = batch.last() else { break };
        let listings = read_listings(connection, last, newest.id).await?;
        last = newest.id;
        let mut encoder = Encoder::new();
        for (row, stored) in batch.iter().enumerate() {
            stored.encode_converted(&mut encoder, (&listings, row), market, is_form_unknown);
        }
        let statement = format!("COPY renewed ({IDENTITY}, {columns}) FROM STDIN (FORMAT binary)");
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(encoder.into_stream()).await?;
        copy.finish().await?;
    }
    execute(connection, "ANALYZE renewed").await?;
    let merged = execute(connection, DELETE_REPEATED).await?;
    execute(connection, "DELETE FROM kept_buckets").await?;
    execute(connection, KEEP_BUCKETS).await?;
    execute(connection, APPLY_KEPT_BUCKETS).await?;
    let updated = execute(connection, &update_statement()).await?;
    Ok(Changed { updated, merged })
}

fn update_statement() -> String {
    let columns = format!("content_hash, listing_group, bucket, car_group, {}", column_names());
    let of = |table: &str| columns.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    let (old, new) = (of("listings"), of("renewed"));
    format!(
        "UPDATE listings SET ({columns}) = ({new}) FROM renewed
         WHERE listings.id = renewed.id AND ({old}) IS DISTINCT FROM ({new})"
    )
}

/// The stored identity of a listing.
#[derive(FromRow)]
struct StoredIdentity {
    id: i64,
    source: Option<String>,
    listing_group: Vec<u8>,
    car_group: Option<Vec<u8>>,
    sale_price: Option<f64>,
    days_listed: Option<i16>,
}

/// Reads the identities of the next listings after an id, in import order.
async fn read_identities(connection: &mut PgConnection, after: i64) -> Result<Vec<StoredIdentity>> {
    let query = "SELECT id, source, uuid_send(listing_group) AS listing_group, uuid_send(car_group) AS car_group,
                        sale_price, days_listed
                 FROM listings WHERE id > $1 ORDER BY id LIMIT $2";
    Ok(sqlx::query_as(query).bind(after).bind(BATCH_ROWS).fetch_all(connection).await?)
}

/// Reads the columns of the listings in a range of ids.
async fn read_listings(connection: &mut PgConnection, after: i64, last: i64) -> Result<ListingChunk> {
    let columns = column_names();
    let statement = format!(
        "COPY (SELECT {columns} FROM listings WHERE id > {after} AND id <= {last} ORDER BY id) TO STDOUT (FORMAT binary)"
    );
    let mut decoder = Decoder::new();
    let mut chunks = connection.copy_out_raw(&statement).await?;
    while let Some(chunk) = chunks.next().await {
        decoder.push(&chunk?)?;
    }
    Ok(decoder.finish()?)
}

impl StoredIdentity {
    fn encode_converted(
        &self,
        encoder: &mut Encoder,
        (listings, row): (&ListingChunk, usize),
        market: &Market,
        is_form_unknown: bool,
    ) {
        let (stored, price) = (listings.listing(row), listings.target(row));
        let days_listed = self.days_listed.map(f64::from);
        let targets = Targets { price, sale_price: self.sale_price, days_listed };
        let hash = |bytes: &[u8]| bytes.try_into().ok();
        let car_group = match &self.car_group {
            Some(car_group) => hash(car_group),
            // Earlier versions only stored `listing_group`, the hash of either the car group or the listing. If it does not
            // match the listing, it is the hash of the car group.
            None if is_form_unknown => hash(&self.listing_group).filter(|group| *group != hash_stable_columns(&stored)),
            None => None,
        };
        let car_group = car_group.map(CarGroup);
        let listing = canonical_listing(&stored, market);
        let identity = Identity::new(&listing, &targets, car_group, self.source.as_deref());
        encoder.start_row(FIELDS);
        encoder.write_field(&self.id.to_be_bytes());
        encoder.write_identity(&identity, car_group);
        encoder.write_listing(&listing, price);
    }
}
