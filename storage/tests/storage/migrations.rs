use storage::Error;

use crate::sandbox::database;

#[tokio::test]
async fn a_newer_database_is_reported() {
    let (database, pool) = database().await;
    database.migrate().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT version + 7, description, true, checksum, 0 FROM _sqlx_migrations";
    sqlx::query(later).execute(&pool).await.unwrap();
    let error = database.migrate().await.unwrap_err();
    let Error::NewerDatabase { applied, known } = error else { panic!("{error}") };
    assert_eq!(applied, known + 7);
    // A failed migration does not leave a lock.
    assert!(matches!(database.migrate().await, Err(Error::NewerDatabase { .. })));
    assert_eq!(database.models().champion("price").await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_migration_is_an_error() {
    let (database, pool) = database().await;
    let unknown = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 0, description, true, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(unknown).execute(&pool).await.unwrap();
    assert!(matches!(database.migrate().await, Err(Error::Migration(_))));
}
