//! Locks and statements within transactions.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// An advisory lock that a transaction holds until it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransactionLock {
    /// Adding and renewing listings.
    Import,
    /// Moving an alias of a model.
    Alias,
}

/// Acquires a lock for the rest of the transaction.
pub(crate) async fn acquire_lock(connection: &mut PgConnection, lock: TransactionLock) -> Result<()> {
    // Arbitrary keys, but the same in every version and distinct from `Lock::key`.
    let key: i64 = match lock {
        TransactionLock::Import => 0x7072_6f62_6567_0002,
        TransactionLock::Alias => 0x7072_6f62_6567_0003,
    };
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(connection).await?;
    Ok(())
}

/// Executes a statement without parameters and returns the number of affected rows.
pub(crate) async fn execute(connection: &mut PgConnection, statement: &str) -> Result<u64> {
    Ok(sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?.rows_affected())
}
