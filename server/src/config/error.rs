//! Configuration errors.

/// An invalid environment variable. The message never contains a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The value is invalid.
    #[error("{variable}={value}: expected {expected}")]
    Invalid {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The value is not text.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(&'static str),
    /// The value consists of white space.
    #[error("{0} is blank; set a value, or unset it")]
    Blank(&'static str),
    /// The value is a list without entries.
    #[error("{0} is an empty list; add an entry, or unset it")]
    EmptyList(&'static str),
    /// The list contains an entry twice.
    #[error("{0} lists the same entry twice")]
    DuplicateEntry(&'static str),
    /// The secret cannot be sent in an HTTP header.
    #[error("{0}: a secret must not contain line breaks or other control characters")]
    InvalidSecret(&'static str),
    /// The admin token is also an API key.
    #[error("PROBEG_ADMIN_TOKEN is one of PROBEG_API_KEYS; choose another token")]
    AdminTokenIsKey,
}
