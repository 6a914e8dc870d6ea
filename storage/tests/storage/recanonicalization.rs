//! Listings stored by an earlier version are converted to the current canonical form.

use chrono::NaiveDate;
use domain::Market;
use domain::identity::{CarGroup, Identity, canonical_listing};
use domain::{Column, Listing, PricedListing, Value};
use sqlx::PgPool;
use storage::{Database, Error, Import, ImportCounts, RowFilter, Snapshot};

use crate::sandbox::{database, day, row, rows};

async fn import(database: &Database, rows: &[PricedListing]) -> ImportCounts {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(rows).await.unwrap();
    import.finish(0).await.unwrap()
}

/// Imports listings in the form of a version without the synonym АКПП.
async fn import_in_old_form(database: &Database, pool: &PgPool, rows: &[PricedListing], form: Option<&str>) {
    import(database, rows).await;
    for row in rows {
        let mut listing = canonical_listing(&row.listing, Market::russia());
        let now =
            Identity::new(&listing, &row.targets, row.car_group.as_deref().map(CarGroup::new), row.source.as_deref());
        listing.set(Column::Transmission, Some(Value::Text("акпп".to_owned())));
        let car_group = row.car_group.as_deref().map(CarGroup::new);
        let before = Identity::new(&listing, &row.targets, car_group, None);
        let query =
            "UPDATE listings SET transmission = 'акпп', car_group = NULL, content_hash = encode($1, 'hex')::uuid,
                            listing_group = encode($2, 'hex')::uuid, bucket = $3
                     WHERE content_hash = encode($4, 'hex')::uuid";
        let query = sqlx::query(query).bind(before.content_hash.to_vec()).bind(before.listing_group.to_vec());
        let query = query.bind(before.bucket).bind(now.content_hash.to_vec());
        assert_eq!(query.execute(pool).await.unwrap().rows_affected(), 1);
    }
    sqlx::query("UPDATE canonical_form SET form = $1::uuid").bind(form).execute(pool).await.unwrap();
}

const OTHER_FORM: Option<&str> = Some("00000000-0000-0000-0000-000000000001");

/// Mileage, transmission, group and bucket of each listing.
async fn stored_listings(pool: &PgPool) -> Vec<(i32, String, String, i16)> {
    let query = "SELECT mileage, transmission, listing_group::text, bucket FROM listings ORDER BY id";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

async fn revision(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT revision FROM canonical_form").fetch_one(pool).await.unwrap()
}

fn relisted(row: &PricedListing, day: NaiveDate) -> PricedListing {
    let mut again = row.clone();
    again.listing.set(Column::ListingDate, Some(Value::Date(day)));
    again.targets.price += 1.0;
    again
}

#[tokio::test]
async fn a_new_synonym_preserves_duplicates_and_splits() {
    let (database, pool) = database().await;
    let file = rows(0..300);
    import_in_old_form(&database, &pool, &file, OTHER_FORM).await;
    let before = stored_listings(&pool).await;

    let counts = import(&database, &file).await;
    assert_eq!(counts, ImportCounts { rows: 300, added: 0, repeated_in_file: 0, already_known: 300 });
    let after = stored_listings(&pool).await;
    assert!(after.iter().all(|(_, transmission, ..)| transmission == "автоматическая"));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.0, before.3), (after.0, after.3), "the split of a car is unchanged");
        assert_ne!(before.2, after.2);
    }

    let again: Vec<_> = file.iter().map(|row| relisted(row, day(30))).collect();
    assert_eq!(import(&database, &again).await.added, 300);
    let relisted = stored_listings(&pool).await;
    assert!(
        relisted[300..].iter().zip(&after).all(|(relisted, first)| relisted == first),
        "relisted cars stay in their split"
    );
    assert_eq!(revision(&pool).await, 1);
    database.recanonicalize_listings().await.unwrap();
    assert_eq!(revision(&pool).await, 1);
}

#[tokio::test]
async fn merged_listings_and_groups_keep_the_earliest_split() {
    let (database, pool) = database().await;
    let cars = rows(0..100);
    import_in_old_form(&database, &pool, &cars, None).await;
    let first = stored_listings(&pool).await;
    // Listings in the new form before the renewal: the same ones, and each car relisted on another day.
    let rest: Vec<_> = cars.iter().cloned().chain(cars.iter().map(|row| relisted(row, day(30)))).collect();
    let (other, other_pool) = crate::sandbox::database().await;
    import(&other, &rest).await;
    copy_listings(&other_pool, &pool).await;
    assert_eq!(stored_listings(&pool).await.len(), 300);
    let buckets = |stored: &[(i32, String, String, i16)]| stored.iter().map(|listing| listing.3).collect::<Vec<_>>();
    assert_ne!(buckets(&first), buckets(&stored_listings(&pool).await[100..200]));

    database.recanonicalize_listings().await.unwrap();
    let renewed = stored_listings(&pool).await;
    assert_eq!(renewed.len(), 200, "equal listings are merged");
    assert_eq!(buckets(&renewed[..100]), buckets(&first));
    assert_eq!(renewed[..100], renewed[100..]);
}

/// Appends all listings of a database to those of another.
async fn copy_listings(from: &PgPool, to: &PgPool) {
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns
         WHERE table_name = 'listings' AND column_name NOT IN ('id', 'imported_at')",
    )
    .fetch_one(from)
    .await
    .unwrap();
    let mut listings = Vec::new();
    let mut source = from.acquire().await.unwrap();
    let statement = format!("COPY (SELECT {columns} FROM listings ORDER BY id) TO STDOUT (FORMAT binary)");
    let mut chunks = source.copy_out_raw(&statement).await.unwrap();
    while let Some(chunk) = futures_util::StreamExt::next(&mut chunks).await {
        listings.extend_from_slice(&chunk.unwrap());
    }
    let mut target = to.acquire().await.unwrap();
    let statement = format!("COPY listings ({columns}) FROM STDIN (FORMAT binary)");
    let mut copy = target.copy_in_raw(&statement).await.unwrap();
    copy.send(listings).await.unwrap();
    copy.finish().await.unwrap();
}

#[tokio::test]
async fn groups_of_an_earlier_version_become_scoped_to_their_source() {
    let (database, pool) = database().await;
    let labelled = |number: u32, source: Option<&str>| {
        let mut row = row(number);
        (row.car_group, row.source) = (Some(format!("car {}", number % 10)), source.map(str::to_owned));
        row
    };
    let avito = (0..40).map(|number| labelled(number, Some("avito")));
    let drom = (40..80).map(|number| labelled(number, Some("drom")));
    let without_source = (80..90).map(|number| labelled(number, None));
    let unlabelled = (90..100).map(row);
    let file: Vec<_> = avito.chain(drom).chain(without_source).chain(unlabelled).collect();
    import_in_old_form(&database, &pool, &file, None).await;
    let before = stored_listings(&pool).await;
    let groups = |stored: &[(i32, String, String, i16)]| {
        stored.iter().map(|listing| listing.2.clone()).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(groups(&before), 20, "ten shared by all sources, and ten cars without a car_group");

    assert_eq!(import(&database, &file).await.added, 0);
    let after = stored_listings(&pool).await;
    assert_eq!(groups(&after), 40);
    assert!(before.iter().zip(&after).all(|(before, after)| before.3 == after.3), "the split of a car is unchanged");
    let (fresh, other_pool) = crate::sandbox::database().await;
    import(&fresh, &file).await;
    let imported = stored_listings(&other_pool).await;
    assert_eq!(imported[..90], after[..90], "as if imported by this version");
    let labels = "SELECT count(car_group) FROM listings";
    assert_eq!(sqlx::query_scalar::<_, i64>(labels).fetch_one(&pool).await.unwrap(), 90);
}

#[tokio::test]
async fn words_for_unknown_become_missing_except_the_make() {
    let (database, pool) = database().await;
    let mut nameless = row(1);
    nameless.listing = Listing::default();
    for (column, value) in [
        (Column::Brand, Value::Text("киа".to_owned())),
        (Column::Color, Value::Text("белый".to_owned())),
        (Column::Year, Value::Number(2018.0)),
        (Column::Mileage, Value::Number(5.0)),
    ] {
        nameless.listing.set(column, Some(value));
    }
    import(&database, &[nameless]).await;
    sqlx::query("UPDATE listings SET brand = 'неизвестно', color = 'н/д'").execute(&pool).await.unwrap();
    sqlx::query("UPDATE canonical_form SET form = NULL").execute(&pool).await.unwrap();
    database.recanonicalize_listings().await.unwrap();
    let query = "SELECT brand, color FROM listings";
    let renewed: (String, Option<String>) = sqlx::query_as(query).fetch_one(&pool).await.unwrap();
    assert_eq!(renewed, ("неизвестно".to_owned(), None));
}

#[tokio::test]
async fn readers_detect_a_renewal() {
    let (database, pool) = database().await;
    import_in_old_form(&database, &pool, &rows(0..100), OTHER_FORM).await;
    let snapshot = Snapshot::begin(&database).await.unwrap();
    let mut reader = snapshot.reader();
    let extent = snapshot.extent();
    // An extent recorded by a version without revisions.
    let mut unrevised = serde_json::to_value(extent).unwrap();
    unrevised.as_object_mut().unwrap().remove("revision");
    let unrevised = serde_json::from_value(unrevised).unwrap();
    assert_eq!(Snapshot::reopen(&database, unrevised).rows([RowFilter::All]).await.unwrap(), [100]);

    database.recanonicalize_listings().await.unwrap();
    assert_eq!(reader.rows([RowFilter::All]).await.unwrap(), [100], "an open transaction is unaffected");
    for extent in [extent, unrevised] {
        let error = Snapshot::reopen(&database, extent).rows([RowFilter::All]).await.unwrap_err();
        assert!(matches!(error, Error::ListingsMoved), "{error}");
    }

    // A form change that modifies no listing does not affect readers.
    let extent = Snapshot::begin(&database).await.unwrap().extent();
    sqlx::query("UPDATE canonical_form SET form = $1::uuid").bind(OTHER_FORM).execute(&pool).await.unwrap();
    database.recanonicalize_listings().await.unwrap();
    assert_eq!(Snapshot::reopen(&database, extent).rows([RowFilter::All]).await.unwrap(), [100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_renewals_are_serialized() {
    let (database, pool) = database().await;
    import_in_old_form(&database, &pool, &rows(0..500), OTHER_FORM).await;
    let renewals = (0..3).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { database.recanonicalize_listings().await })
    });
    for renewal in renewals.collect::<Vec<_>>() {
        renewal.await.unwrap().unwrap();
    }
    assert_eq!((revision(&pool).await, stored_listings(&pool).await.len()), (1, 500));
}
