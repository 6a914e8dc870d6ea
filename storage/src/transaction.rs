//! Helpers that transactions of several files share.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// Work that transactions do one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Adding and renewing listings.
    Import,
    /// Moving an alias of a model.
    Alias,
}

/// Waits until no other transaction has this turn, and keeps it until the transaction ends.
pub(crate) async fn take_turn(connection: &mut PgConnection, turn: Turn) -> Result<()> {
    // Keys of advisory locks: arbitrary, the same in every version. See also `Lock::key`.
    let key: i64 = match turn {
        Turn::Import => 0x7072_6f62_6567_0002,
        Turn::Alias => 0x7072_6f62_6567_0003,
    };
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(connection).await?;
    Ok(())
}

/// Executes a statement without parameters and returns how many rows it changed.
pub(crate) async fn execute(connection: &mut PgConnection, statement: &str) -> Result<u64> {
    Ok(sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?.rows_affected())
}
