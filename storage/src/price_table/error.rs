//! What PostgreSQL refuses about a table of prices, with advice.

use sqlx::postgres::PgDatabaseError;

use super::name::TableName;
use crate::error::Error;

/// The error of a statement.
pub(super) fn refused(table: &TableName, error: sqlx::Error) -> Error {
    let sqlx::Error::Database(cause) = &error else { return Error::Database(error) };
    // The detail says which view depends on a table, or which key is repeated.
    let detail = cause.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail);
    let message = detail.map_or_else(|| cause.message().to_owned(), |detail| format!("{} ({detail})", cause.message()));
    let (code, table) = (cause.code().unwrap_or_default(), table.to_string());
    match &*code {
        "42P07" => Error::TableExists(table),
        "42501" => Error::TableForbidden { table, cause: message },
        "2BP01" => Error::TableIsUsed { table, cause: message },
        "23502" | "23505" => Error::NotAKey(message),
        "42P01" if message.contains("probeg_") => Error::NoCars(table),
        // The database is short of something, is stopping, or was asked to stop.
        code if code.starts_with("53") || code.starts_with("57") => Error::Database(error),
        _ => Error::CarQuery(message),
    }
}
