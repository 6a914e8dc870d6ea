use sqlx::PgPool;
use sqlx::migrate::Migrator;
use storage::{Database, Error};

use crate::sandbox::{database, empty_database};

#[tokio::test]
async fn a_newer_database_is_reported() {
    let (database, pool) = database().await;
    database.migrate().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT version + 1000, description, true, checksum, 0 FROM _sqlx_migrations";
    sqlx::query(later).execute(&pool).await.unwrap();
    let error = database.migrate().await.unwrap_err();
    let Error::NewerDatabase { applied, known } = error else { panic!("{error}") };
    assert_eq!(applied, known + 1000);
    // A failed migration does not leave a lock.
    assert!(matches!(database.migrate().await, Err(Error::NewerDatabase { .. })));
    assert_eq!(database.models().champion("price").await.unwrap(), None);
}

/// Applies the migrations of the version before there were tasks.
async fn earlier_database() -> String {
    let url = empty_database().await;
    let folder = tempfile::tempdir().unwrap();
    let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for file in ["0001_listings.sql", "0002_runs.sql", "0003_models.sql", "0004_canonical_form.sql"] {
        std::fs::copy(all.join(file), folder.path().join(file)).unwrap();
    }
    let pool = PgPool::connect(&url).await.unwrap();
    Migrator::new(folder.path()).await.unwrap().run(&pool).await.unwrap();
    url
}

#[tokio::test]
async fn a_database_of_before_becomes_the_market_russia_and_the_task_price() {
    let url = earlier_database().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let fill = "
        INSERT INTO listings (content_hash, listing_group, bucket, brand, year, mileage, price)
            SELECT md5(n::text)::uuid, md5(n::text)::uuid, n % 100, 'kia', 2018, n, 1000000 + n FROM generate_series(1, 500) AS n;
        INSERT INTO runs (seed, config) VALUES (7, '{}');
        INSERT INTO models (run_id, sha256, size, bytes, signature, card)
            SELECT 1, sha256('x'), 1, 'x', '{}', '{\"mape\": 0.15}' FROM generate_series(1, 2);
        INSERT INTO model_aliases VALUES ('champion', 2);
        INSERT INTO alias_history (alias, version, previous_version, who, action)
            VALUES ('champion', 1, NULL, 'ann', 'promote'), ('champion', 2, 1, 'ann', 'promote')";
    sqlx::raw_sql(fill).execute(&pool).await.unwrap();
    let listings = "SELECT md5(string_agg(listings::text, '' ORDER BY id)) FROM (SELECT id, content_hash, listing_group, bucket, brand, year, mileage, price FROM listings) AS listings";
    let before: String = sqlx::query_scalar(listings).fetch_one(&pool).await.unwrap();

    for _ in 0..2 {
        let database = Database::connect(&url, 2).await.unwrap();
        let after: String = sqlx::query_scalar(listings).fetch_one(&pool).await.unwrap();
        assert_eq!(before, after);
        let champions = database.models().champions().await.unwrap();
        assert_eq!((champions.len(), champions["price"].version), (1, 2));
        assert_eq!(database.runs().get(1).await.unwrap().unwrap().task, "price");
        let tasks = database.tasks().list().await.unwrap();
        assert_eq!(tasks, [domain::Task::price()]);
    }

    // A server of the earlier version, which still runs, promotes and registers with its statements.
    let statements = "
        INSERT INTO models (run_id, sha256, size, bytes, signature, card) SELECT 1, sha256('y'), 1, 'y', '{}', '{}';
        INSERT INTO model_aliases (alias, version) VALUES ('champion', 3)
            ON CONFLICT (alias) DO UPDATE SET version = EXCLUDED.version;
        INSERT INTO alias_history (alias, version, previous_version, at, who, action)
            VALUES ('champion', 3, 2, clock_timestamp(), 'ann', 'promote')";
    sqlx::raw_sql(statements).execute(&pool).await.unwrap();
    let database = Database::connect(&url, 2).await.unwrap();
    assert_eq!(database.models().champion("price").await.unwrap(), Some(3));
    assert_eq!(database.models().rollback("price", "bob").await.unwrap(), 2);
}

#[tokio::test]
async fn a_missing_migration_is_an_error() {
    let (database, pool) = database().await;
    let unknown = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 0, description, true, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(unknown).execute(&pool).await.unwrap();
    assert!(matches!(database.migrate().await, Err(Error::Migration(_))));
}
