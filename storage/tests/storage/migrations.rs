use storage::Error;

use crate::sandbox::database;

#[tokio::test]
async fn a_database_of_a_newer_version_is_called_that() {
    let (database, inside) = database().await;
    database.migrate().await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT version + 7, description, true, checksum, 0 FROM _sqlx_migrations";
    sqlx::query(later).execute(&inside).await.unwrap();
    let error = database.migrate().await.unwrap_err();
    let Error::NewerDatabase { applied, known } = error else { panic!("{error}") };
    assert_eq!(applied, known + 7);
    // Nobody is kept waiting by a migration that was not made.
    assert!(matches!(database.migrate().await, Err(Error::NewerDatabase { .. })));
    assert_eq!(database.models().champion().await.unwrap(), None);
}

#[tokio::test]
async fn a_migration_that_is_gone_is_no_newer_version() {
    let (database, inside) = database().await;
    let never = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 SELECT 0, description, true, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    sqlx::query(never).execute(&inside).await.unwrap();
    assert!(matches!(database.migrate().await, Err(Error::Migration(_))));
}
