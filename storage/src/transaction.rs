//! What transactions of several files share.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// What transactions do one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Adding and renewing listings.
    Import,
    /// Moving an alias of a model.
    Alias,
}

/// Waits until no other transaction holds this turn, and holds it until the transaction ends.
pub(crate) async fn take_turn(connection: &mut PgConnection, turn: Turn) -> Result<()> {
    // Advisory locks: any number will do, as long as it is the same in every version. See also `Lock::key`.
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
