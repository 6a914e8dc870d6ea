//! A table without indexes is filled several times faster, and building them at once costs little.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// What drops an index of the listings, and what builds it again.
const INDEXES: &str = "
    SELECT format('ALTER TABLE listings DROP CONSTRAINT %I', conname),
           format('ALTER TABLE listings ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = 'listings'::regclass AND contype IN ('p', 'u')
    UNION ALL
    SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = 'listings'::regclass
                    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)";

/// Drops the indexes for the rest of the transaction if there are no listings yet, and returns the statements that
/// rebuild them.
///
/// This locks readers out, so a table with listings keeps its indexes, as does one that is being read or that belongs
/// to another role.
pub(super) async fn set_aside(connection: &mut PgConnection) -> Result<Vec<String>> {
    let is_empty: bool =
        sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM listings)").fetch_one(&mut *connection).await?;
    if !is_empty {
        return Ok(Vec::new());
    }
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(&mut *connection).await?;
    let (drops, builds): (Vec<_>, Vec<_>) = indexes.into_iter().unzip();
    let drops =
        format!("SAVEPOINT indexed; SET LOCAL lock_timeout = '2s'; {}; RELEASE SAVEPOINT indexed", drops.join("; "));
    match sqlx::raw_sql(AssertSqlSafe(drops)).execute(&mut *connection).await {
        Ok(_) => Ok(builds),
        Err(error @ sqlx::Error::Database(_)) => {
            tracing::debug!(%error, "The listings keep their indexes; the import takes longer.");
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT indexed").execute(connection).await?;
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}
