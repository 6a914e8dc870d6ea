use std::time::Duration;

use storage::{Database, Error, Lock};

use crate::sandbox::{database, empty_database};

#[tokio::test]
async fn locks_are_exclusive() {
    let (database, pool) = database().await;
    let guard = database.lock(Lock::Training).await.unwrap();
    assert!(database.try_lock(Lock::Training).await.unwrap().is_none());
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { database.lock(Lock::Training).await.unwrap().release().await.unwrap() }
    });
    let query = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                 WHERE locktype = 'advisory' AND NOT granted AND datname = current_database())";
    let is_waiting = async || sqlx::query_scalar::<_, bool>(query).fetch_one(&pool).await.unwrap();
    while !is_waiting().await {
        assert!(!waiting.is_finished(), "the lock was acquired twice");
    }
    drop(guard);
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    database.try_lock(Lock::Training).await.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_applied_concurrently() {
    let url = empty_database().await;
    let connections = (0..4).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { Database::connect(&url, 1).await.map(drop) })
    });
    for connection in connections.collect::<Vec<_>>() {
        connection.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn lazy_connections_connect_on_first_use() {
    let url = empty_database().await;
    let database = Database::connect_lazy(&url, 1).unwrap();
    database.ping().await.unwrap();
    database.migrate().await.unwrap();
    assert!(database.listings().is_empty().await.unwrap());
    let unreachable = Database::connect_lazy("postgres://x@127.0.0.1:1/x", 1).unwrap();
    assert!(unreachable.migrate().await.unwrap_err().is_unavailable());
    assert!(unreachable.ping().await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_missing_database_is_an_error() {
    let url = empty_database().await + "_missing";
    let url = url.replacen("_missing", "", 1).replace("/test_", "/missing_");
    let error = Database::connect(&url, 1).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("does not exist"), "{error}");
}
