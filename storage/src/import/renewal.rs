//! Bringing stored listings into the canonical form of this build.
//!
//! What a listing's texts, hashes and group are depends on rules and synonyms. With one more synonym the same file would
//! be taken for new listings, and the same car for another one, on another side of the split. So the form is kept beside
//! the listings, and the first import or training of a build with another form renews them all, in one transaction:
//! listings that turn out to be equal become the earliest of them, groups that turn out to be one keep the split of
//! their earliest listing, and every other group keeps its split.
//!
//! What was stored cannot be undone: a synonym that is taken back, or given another meaning, changes nothing that was
//! stored under it.

use domain::identity::{CarGroup, Identity, canonical_form, canonical_listing, hash_stable_columns};
use futures_util::StreamExt;
use sqlx::{Connection, FromRow, PgConnection};

use crate::chunk::ListingChunk;
use crate::copy::{Decoder, Encoder, column_names};
use crate::error::Result;
use crate::transaction::{Turn, execute, take_turn};

/// Listings that are renewed at a time.
const BATCH: i64 = 8192;
/// What is new in a listing, before the columns of the listing.
const RENEWED: &str = "id, content_hash, listing_group, bucket, car_group";
const FIELDS: i16 = 5 + 20;

const STORED_FORM: &str = "SELECT uuid_send(form) FROM canonical_form";
const NOTE: &str = "UPDATE canonical_form SET form = encode($1, 'hex')::uuid, renewed_at = now(),
                           revision = revision + CASE WHEN $2 THEN 1 ELSE 0 END";

/// Of equal listings, the first is kept.
const WITHOUT_REPETITIONS: &str = "
    WITH repeated AS (
        DELETE FROM renewed WHERE ctid IN (
            SELECT ctid FROM (
                SELECT ctid, row_number() OVER (PARTITION BY content_hash ORDER BY id) AS turn FROM renewed
            ) AS numbered WHERE turn > 1
        ) RETURNING id
    )
    DELETE FROM listings USING repeated WHERE listings.id = repeated.id";

/// Groups whose first listing is in another bucket than the group's hash falls into.
const KEEP_BUCKETS: &str = "
    INSERT INTO kept_buckets (listing_group, bucket)
    SELECT listing_group, was FROM (
        SELECT DISTINCT ON (renewed.listing_group) renewed.listing_group, listings.bucket AS was, renewed.bucket
        FROM renewed JOIN listings USING (id) ORDER BY renewed.listing_group, id
    ) AS first WHERE was <> bucket";

const INTO_KEPT_BUCKETS: &str = "UPDATE renewed SET bucket = kept_buckets.bucket FROM kept_buckets
                                 WHERE renewed.listing_group = kept_buckets.listing_group";

/// Brings all listings into the canonical form of this build, once no import is under way, if they are in another one.
pub(super) async fn renew(connection: &mut PgConnection) -> Result<()> {
    let form = canonical_form();
    if stored_form(connection).await?.as_deref() == Some(&form) {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL work_mem = '32MB'").execute(&mut *transaction).await?;
    take_turn(&mut transaction, Turn::Import).await?;
    // Another process may have renewed them meanwhile.
    let stored = stored_form(&mut transaction).await?;
    if stored.as_deref() == Some(&form) {
        return Ok(transaction.rollback().await?);
    }
    let changed = renew_all(&mut transaction, stored.is_none()).await?;
    sqlx::query(NOTE).bind(form.as_slice()).bind(changed.any()).execute(&mut *transaction).await?;
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

/// How many listings were changed, and how many were merged into an earlier one.
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

async fn renew_all(connection: &mut PgConnection, is_form_unknown: bool) -> Result<Changed> {
    let columns = column_names();
    let table = format!(
        "CREATE TEMPORARY TABLE renewed ON COMMIT DROP AS SELECT {RENEWED}, {columns} FROM listings WITH NO DATA"
    );
    execute(connection, &table).await?;
    let mut last = 0;
    loop {
        let batch = stored(connection, last).await?;
        let Some(row) = batch.last() else { break };
        let listings = listings(connection, last, row.id).await?;
        last = row.id;
        let mut encoder = Encoder::new();
        for (place, stored) in batch.iter().enumerate() {
            stored.encode_renewed(&mut encoder, &listings, place, is_form_unknown);
        }
        let statement = format!("COPY renewed ({RENEWED}, {columns}) FROM STDIN (FORMAT binary)");
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(encoder.into_stream()).await?;
        copy.finish().await?;
    }
    execute(connection, "ANALYZE renewed").await?;
    let merged = execute(connection, WITHOUT_REPETITIONS).await?;
    execute(connection, "DELETE FROM kept_buckets").await?;
    execute(connection, KEEP_BUCKETS).await?;
    execute(connection, INTO_KEPT_BUCKETS).await?;
    let updated = execute(connection, &update()).await?;
    Ok(Changed { updated, merged })
}

fn update() -> String {
    let columns = format!("content_hash, listing_group, bucket, car_group, {}", column_names());
    let of = |table: &str| columns.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", ");
    let (old, new) = (of("listings"), of("renewed"));
    format!(
        "UPDATE listings SET ({columns}) = ({new}) FROM renewed
         WHERE listings.id = renewed.id AND ({old}) IS DISTINCT FROM ({new})"
    )
}

/// What a listing is stored with, besides its columns.
#[derive(FromRow)]
struct Stored {
    id: i64,
    source: Option<String>,
    listing_group: Vec<u8>,
    car_group: Option<Vec<u8>>,
}

/// The next listings after one, in the order in which they were imported.
async fn stored(connection: &mut PgConnection, after: i64) -> Result<Vec<Stored>> {
    let query = "SELECT id, source, uuid_send(listing_group) AS listing_group, uuid_send(car_group) AS car_group
                 FROM listings WHERE id > $1 ORDER BY id LIMIT $2";
    Ok(sqlx::query_as(query).bind(after).bind(BATCH).fetch_all(connection).await?)
}

/// Their columns.
async fn listings(connection: &mut PgConnection, after: i64, last: i64) -> Result<ListingChunk> {
    let columns = column_names();
    let statement = format!(
        "COPY (SELECT {columns} FROM listings WHERE id > {after} AND id <= {last} ORDER BY id) TO STDOUT (FORMAT binary)"
    );
    let mut decoder = Decoder::new();
    let mut pieces = connection.copy_out_raw(&statement).await?;
    while let Some(piece) = pieces.next().await {
        decoder.push(&piece?)?;
    }
    Ok(decoder.finish()?)
}

impl Stored {
    fn encode_renewed(&self, encoder: &mut Encoder, listings: &ListingChunk, place: usize, is_form_unknown: bool) {
        let (stored, price) = (listings.listing(place), listings.price(place));
        let hash = |bytes: &[u8]| bytes.try_into().ok();
        let car_group = match &self.car_group {
            Some(car_group) => hash(car_group),
            // Before it was kept beside the listing, the group was the hash of either. A group that does not follow
            // from the listing is that of a car_group.
            None if is_form_unknown => hash(&self.listing_group).filter(|group| *group != hash_stable_columns(&stored)),
            None => None,
        };
        let car_group = car_group.map(CarGroup);
        let listing = canonical_listing(&stored);
        let identity = Identity::new(&listing, price, car_group, self.source.as_deref());
        encoder.begin_row(FIELDS);
        encoder.field(&self.id.to_be_bytes());
        encoder.identity(&identity, car_group);
        encoder.listing(&listing, price);
    }
}
