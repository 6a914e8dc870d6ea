use domain::{Column, Value};
use storage::{Import, ImportCounts};

use crate::sandbox::{database, row, rows};

#[tokio::test]
async fn importing_a_file_twice_adds_nothing() {
    let (database, pool) = database().await;
    assert!(database.listings().is_empty().await.unwrap());
    let mut file = rows(0..300);
    file.push(row(5));

    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    import.write(&file[..100]).await.unwrap();
    import.write(&file[100..]).await.unwrap();
    let counts = import.finish(3).await.unwrap();
    assert_eq!(counts, ImportCounts { rows: 301, added: 300, repeated_in_file: 1, already_known: 0 });
    assert_eq!(count(&pool).await, 300);

    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    import.write(&file).await.unwrap();
    let counts = import.finish(3).await.unwrap();
    assert_eq!(counts, ImportCounts { rows: 301, added: 0, repeated_in_file: 1, already_known: 300 });
    assert_eq!(count(&pool).await, 300);
    let imports: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT file, added, rejected FROM imports ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(imports, [("cars.csv".into(), 300, 3), ("cars.csv".into(), 0, 3)]);
}

#[tokio::test]
async fn rows_are_stored_in_canonical_form_and_in_order() {
    let (database, pool) = database().await;
    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    import.write(&rows(0..50)).await.unwrap();
    import.finish(0).await.unwrap();
    let (brand, transmission, owners, source): (String, String, i16, String) =
        sqlx::query_as("SELECT brand, transmission, owners_count, source FROM listings LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((brand.as_str(), transmission.as_str(), owners, source.as_str()), ("kia", "автоматическая", 4, "ab"));
    let mileages: Vec<i32> =
        sqlx::query_scalar("SELECT mileage FROM listings ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(mileages, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn clustered_imports_are_ordered_by_brand_and_date() {
    let (database, pool) = database().await;
    let mut file = rows(0..300);
    for (index, row) in file.iter_mut().enumerate() {
        let brand = ["kia", "audi", "lada (ваз)"][index % 3];
        row.listing.set(Column::Brand, Some(Value::Text(brand.to_owned())));
        let day = chrono::NaiveDate::from_ymd_opt(2021, 1 + (u32::try_from(index).unwrap() * 7) % 12, 1).unwrap();
        row.listing.set(Column::ListingDate, Some(Value::Date(day)));
    }
    let mut import = Import::begin(&database, "cars.csv").await.unwrap().clustered();
    import.write(&file).await.unwrap();
    assert_eq!(import.finish(0).await.unwrap().added, 300);
    let stored: Vec<(String, chrono::NaiveDate)> =
        sqlx::query_as("SELECT brand, listing_date FROM listings ORDER BY ctid").fetch_all(&pool).await.unwrap();
    assert!(stored.is_sorted());
    assert_eq!(stored.len(), 300);
}

#[tokio::test]
async fn the_first_import_preserves_all_indexes() {
    let (database, pool) = database().await;
    let indexes = async || {
        let query = "SELECT indexdef FROM pg_indexes WHERE tablename = 'listings' ORDER BY indexdef";
        sqlx::query_scalar::<_, String>(query).fetch_all(&pool).await.unwrap()
    };
    let before = indexes().await;
    assert_eq!(before.len(), 3);
    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    import.write(&rows(0..50)).await.unwrap();
    import.finish(0).await.unwrap();
    assert_eq!(indexes().await, before);
}

#[tokio::test]
async fn an_open_reader_does_not_block_the_first_import() {
    let (database, pool) = database().await;
    let mut reader = pool.begin().await.unwrap();
    let read: i64 = sqlx::query_scalar("SELECT count(*) FROM listings").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(read, 0);
    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    import.write(&rows(0..50)).await.unwrap();
    import.write(&rows(0..10)).await.unwrap();
    let counts = import.finish(0).await.unwrap();
    assert_eq!(counts, ImportCounts { rows: 60, added: 50, repeated_in_file: 10, already_known: 0 });
    reader.commit().await.unwrap();
}

#[tokio::test]
async fn server_errors_are_reported_during_an_import() {
    let (database, pool) = database().await;
    let mut import = Import::begin(&database, "cars.csv").await.unwrap();
    let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'";
    sqlx::query(query).execute(&pool).await.unwrap();
    let file = rows(0..10_000);
    let mut written = Ok(());
    for _ in 0..10 {
        written = written.and(import.write(&file).await);
    }
    assert!(written.is_err());
    assert!(import.finish(0).await.is_err());
}

#[tokio::test]
async fn a_dropped_import_leaves_no_rows_and_no_lock() {
    let (database, pool) = database().await;
    let mut import = Import::begin(&database, "a.csv").await.unwrap();
    // More than one buffer, so that rows have been sent.
    import.write(&rows(0..10_000)).await.unwrap();
    drop(import);
    let import = Import::begin(&database, "b.csv").await.unwrap();
    assert_eq!(import.finish(0).await.unwrap(), ImportCounts::default());
    assert_eq!(count(&pool).await, 0);
}

#[tokio::test]
async fn an_invalid_row_aborts_the_import() {
    let (database, pool) = database().await;
    let mut wrong = row(1);
    wrong.listing.set(Column::Year, Some(Value::Number(1000.0)));
    let mut import = Import::begin(&database, "a.csv").await.unwrap();
    import.write(&[row(0), wrong]).await.unwrap();
    let error = import.finish(0).await.unwrap_err();
    assert!(error.to_string().contains("listings_year_check"), "{error}");
    assert_eq!(count(&pool).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_imports_are_serialized() {
    let (database, pool) = database().await;
    let imports = (0..4_u32).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut import = Import::begin(&database, &format!("{number}.csv")).await.unwrap();
            import.write(&rows(number * 50..number * 50 + 100)).await.unwrap();
            import.finish(0).await.unwrap()
        })
    });
    let mut added = 0;
    for import in imports.collect::<Vec<_>>() {
        added += import.await.unwrap().added;
    }
    assert_eq!(added, 250);
    assert_eq!(count(&pool).await, 250);
}

/// The number of stored listings.
async fn count(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM listings").fetch_one(pool).await.unwrap()
}
