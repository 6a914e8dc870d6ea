//! What PostgreSQL refuses about a table of prices, with advice.

use super::name::TableName;
use crate::error::Error;

/// The error of a statement.
pub(super) fn refused(table: &TableName, error: sqlx::Error) -> Error {
    let sqlx::Error::Database(cause) = &error else { return Error::Database(error) };
    let (code, message, table) = (cause.code().unwrap_or_default(), cause.message().to_owned(), table.to_string());
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
