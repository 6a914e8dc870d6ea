use std::collections::BTreeSet;

use domain::Column;
use domain::identity::{Split, days_since_epoch};
use storage::{Import, ListingChunk, RowFilter, Snapshot};

use crate::sandbox::{database, day, rows};

async fn import(database: &storage::Database, numbers: std::ops::Range<u32>) {
    let mut import = Import::begin(database, "cars.csv").await.unwrap();
    import.write(&rows(numbers)).await.unwrap();
    import.finish(0).await.unwrap();
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
fn mileage(chunk: &ListingChunk, row: usize) -> u32 {
    chunk.number(Column::Mileage, row).unwrap() as u32
}

#[tokio::test]
async fn blocks_and_splits_contain_every_row_once() {
    let (database, _) = database().await;
    import(&database, 0..3000).await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    let blocks = snapshot.blocks(7);
    assert!(blocks.len() > 5, "{} blocks", blocks.len());
    let mut seen = BTreeSet::new();
    for split in [Split::Train, Split::Validation, Split::Test] {
        let mut count = 0;
        for block in blocks.iter().rev() {
            let chunk = snapshot.read_block(*block, split).await.unwrap();
            count += chunk.len() as u64;
            for row in 0..chunk.len() {
                let number = mileage(&chunk, row);
                assert!(seen.insert(number), "{number} twice");
                check_row(&chunk, row, number);
            }
        }
        assert_eq!(snapshot.rows([split.into()]).await.unwrap(), [count]);
    }
    assert_eq!(seen.len(), 3000);
    let all = snapshot.read_block(blocks[0], RowFilter::All).await.unwrap();
    assert_eq!(all.columns().arrays().len(), Column::descriptive().len() + 1);
}

#[expect(clippy::cast_possible_truncation, reason = "days fit")]
fn check_row(chunk: &ListingChunk, row: usize, number: u32) {
    assert_eq!(chunk.text(Column::Brand, row), Some("kia"));
    assert_eq!(chunk.text(Column::Model, row), Some(format!("модель {}", number % 7).as_str()));
    assert_eq!(chunk.text(Column::Color, row), None);
    assert_eq!(chunk.number(Column::EngineVolume, row), Some(1.6));
    assert_eq!(chunk.number(Column::EnginePower, row), None);
    assert_eq!(chunk.number(Column::OwnersCount, row), Some(4.0));
    let days = number.is_multiple_of(2).then(|| days_since_epoch(day(1 + number % 28)) as f32);
    assert_eq!(chunk.number(Column::ListingDate, row), days);
    assert_eq!((chunk.target(row) - 500_000.0).to_bits(), f64::from(number).to_bits());
    assert_eq!(chunk.number(Column::Price, row), None);
    assert_eq!(chunk.text(Column::Year, row), None);
}

#[tokio::test]
async fn a_snapshot_does_not_see_later_changes() {
    let (database, pool) = database().await;
    import(&database, 0..100).await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    import(&database, 100..300).await;
    sqlx::query("DELETE FROM listings WHERE mileage < 50").execute(&pool).await.unwrap();
    let mut count = 0;
    for block in snapshot.blocks(1) {
        count += snapshot.read_block(block, RowFilter::All).await.unwrap().len();
    }
    assert_eq!(count, 100);
}

/// Every second row is dated, uniformly over the odd days 1 to 27 of a month.
#[tokio::test]
async fn the_newest_days_are_separated() {
    let (database, _) = database().await;
    import(&database, 0..2800).await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    assert_eq!(snapshot.newest_day(0.05).await.unwrap(), Some(day(27)));
    assert_eq!(snapshot.newest_day(0.1).await.unwrap(), Some(day(25)));
    assert_eq!(snapshot.newest_day(1.0).await.unwrap(), None, "no rows would remain");
    let splits = [Split::Train, Split::Validation, Split::Test];
    let since = snapshot.rows(splits.map(|split| RowFilter::Since(split, day(27)))).await.unwrap();
    assert_eq!(since.iter().sum::<u64>(), 100);
    let before = snapshot.rows(splits.map(|split| RowFilter::Before(split, day(27)))).await.unwrap();
    assert_eq!(before.iter().sum::<u64>(), 2700, "undated rows are not new");
}

#[tokio::test]
async fn an_empty_table_has_no_blocks() {
    let (database, _) = database().await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    assert!(snapshot.blocks(8).is_empty());
    assert_eq!(snapshot.rows([Split::Train.into()]).await.unwrap(), [0]);
    assert_eq!(snapshot.newest_day(0.05).await.unwrap(), None);
}

/// The numbers of all rows, in block order.
async fn numbers(snapshot: &mut Snapshot) -> Vec<u32> {
    let mut numbers = Vec::new();
    for block in snapshot.blocks(1) {
        let chunk = snapshot.read_block(block, RowFilter::All).await.unwrap();
        numbers.extend((0..chunk.len()).map(|row| mileage(&chunk, row)));
    }
    numbers
}

#[tokio::test]
async fn an_abandoned_read_does_not_affect_the_next() {
    let (database, pool) = database().await;
    import(&database, 0..100).await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    let block = snapshot.blocks(1000)[0];
    let server: i32 = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let signal = |signal: &str| {
        let sent = std::process::Command::new("kill").args([signal, server.to_string().as_str()]).status().unwrap();
        assert!(sent.success());
    };
    // A suspended server cannot respond.
    signal("-STOP");
    let read_timeout = std::time::Duration::from_millis(50);
    let abandoned = tokio::time::timeout(read_timeout, snapshot.read_block(block, RowFilter::All)).await;
    signal("-CONT");
    assert!(abandoned.is_err());
    assert_eq!(snapshot.read_block(block, RowFilter::All).await.unwrap().len(), 100);
}

async fn terminate_readers(pool: &sqlx::PgPool) {
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'",
    )
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn without_retries_a_lost_connection_is_an_error() {
    let (database, pool) = database().await;
    import(&database, 0..100).await;
    let mut snapshot = Snapshot::begin(&database).await.unwrap();
    terminate_readers(&pool).await;
    let error = snapshot.read_block(snapshot.blocks(1000)[0], RowFilter::All).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

#[tokio::test]
async fn readers_that_reconnect_do_not_see_later_imports() {
    let (database, pool) = database().await;
    import(&database, 0..2000).await;
    let snapshot = Snapshot::begin(&database).await.unwrap();
    let mut snapshot = snapshot.with_retry_limit(std::time::Duration::from_secs(10));
    let mut reader = snapshot.reader();
    let before = numbers(&mut snapshot).await;
    assert_eq!(before.len(), 2000);
    assert_eq!(numbers(&mut reader).await, before);
    import(&database, 2000..3000).await;
    assert_eq!(numbers(&mut reader).await, before);
    terminate_readers(&pool).await;
    assert_eq!(numbers(&mut reader).await, before);
    assert_eq!(numbers(&mut snapshot).await, before);
    assert_eq!(snapshot.rows([RowFilter::All]).await.unwrap(), [2000]);
    assert_eq!(snapshot.newest_day(0.05).await.unwrap(), Some(day(27)));
    let mut again = Snapshot::reopen(&database, snapshot.extent());
    assert_eq!(numbers(&mut again).await, before);
}

#[tokio::test]
async fn moved_rows_are_detected() {
    let (database, pool) = database().await;
    import(&database, 0..100).await;
    let extent = Snapshot::begin(&database).await.unwrap().extent();
    sqlx::query("VACUUM FULL listings").execute(&pool).await.unwrap();
    let error = Snapshot::reopen(&database, extent).rows([RowFilter::All]).await.unwrap_err();
    assert!(matches!(error, storage::Error::ListingsMoved), "{error}");
}

#[tokio::test]
async fn a_block_reads_only_its_own_pages() {
    let (database, pool) = database().await;
    import(&database, 0..3000).await;
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT brand FROM listings
         WHERE ctid >= '(2,0)'::tid AND ctid < '(4,0)'::tid AND bucket BETWEEN 0 AND 79",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(plan[0].contains("Tid Range Scan"), "{plan:?}");
}
