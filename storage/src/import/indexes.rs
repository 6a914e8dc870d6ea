//! Drops and rebuilds the indexes around a bulk import, which is several times faster.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::Result;

/// Selects the statements that drop and rebuild each index of the listings.
const INDEX_STATEMENTS: &str = "
    SELECT format('ALTER TABLE listings DROP CONSTRAINT %I', conname),
           format('ALTER TABLE listings ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = 'listings'::regclass AND contype IN ('p', 'u')
    UNION ALL
    SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = 'listings'::regclass
                    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)";

/// Drops the indexes if there are no listings, and returns the statements that rebuild them.
///
/// This blocks readers, so the indexes are not dropped if there are listings, if the table is being read, or if it belongs to
/// another role.
pub(super) async fn drop_if_empty(connection: &mut PgConnection) -> Result<Vec<String>> {
    let is_empty: bool =
        sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM listings)").fetch_one(&mut *connection).await?;
    if !is_empty {
        return Ok(Vec::new());
    }
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEX_STATEMENTS).fetch_all(&mut *connection).await?;
    let (drops, builds): (Vec<_>, Vec<_>) = indexes.into_iter().unzip();
    let drops =
        format!("SAVEPOINT indexed; SET LOCAL lock_timeout = '2s'; {}; RELEASE SAVEPOINT indexed", drops.join("; "));
    match sqlx::raw_sql(AssertSqlSafe(drops)).execute(&mut *connection).await {
        Ok(_) => Ok(builds),
        Err(error @ sqlx::Error::Database(_)) => {
            tracing::debug!(%error, "The indexes could not be dropped; the import takes longer.");
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT indexed").execute(connection).await?;
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}
