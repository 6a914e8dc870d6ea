//! What can be wrong with a setting.

/// A variable of the environment that cannot be used. A secret is never part of the message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Its value is not what it should be.
    #[error("{variable}={value}: expected {expected}")]
    Invalid {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Its value is not text.
    #[error("{0} is not valid UTF-8")]
    NotUnicode(&'static str),
    /// It is set to white space.
    #[error("{0} is blank; set a value, or unset it")]
    Blank(&'static str),
    /// It is a list of nothing but commas.
    #[error("{0} is a list without a single entry; add one, or unset it")]
    EmptyList(&'static str),
    /// It lists something more than once.
    #[error("{0} lists the same entry twice")]
    Repeated(&'static str),
    /// It holds a secret that no header of HTTP can carry.
    #[error("{0}: a secret must not contain line breaks or other control characters")]
    Unsendable(&'static str),
    /// Whoever has that API key could move the champion.
    #[error("PROBEG_ADMIN_TOKEN is one of PROBEG_API_KEYS; choose another token")]
    AdminTokenIsKey,
}
