//! How the server is set up, from the environment.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PROBEG_BIND`: where to listen. Default `127.0.0.1:8000`.
    pub bind: SocketAddr,
    /// `PROBEG_ADMIN_TOKEN`: the token that may move the champion. Unset: nobody may.
    pub admin_token: Option<Secret>,
    /// `PROBEG_API_KEYS`, separated by commas: one of them must come with each request. Unset: open.
    pub api_keys: Vec<Secret>,
    /// `PROBEG_MAX_UPLOAD_BYTES`: the largest workbook or batch. Default 32 MiB.
    pub max_upload_bytes: usize,
    /// `PROBEG_SESSIONS`: how many threads value single cars, and how many batches and workbooks are valued beside them.
    /// Default: half as many as processors, for the other half reads requests and writes answers.
    pub sessions: usize,
    /// `PROBEG_QUEUE`: how many more may wait before the server refuses. Default 256.
    pub queue: usize,
    /// `PROBEG_REQUEST_TIMEOUT_SECONDS`: the longest that one request may take. Default 30.
    pub request_timeout: Duration,
    /// `PROBEG_UPLOAD_TIMEOUT_SECONDS`: the longest that a workbook or a batch may take. Default 300.
    pub upload_timeout: Duration,
}

/// A secret, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// A variable that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value}: expected {expected}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8000)),
            admin_token: None,
            api_keys: Vec::new(),
            max_upload_bytes: 32 << 20,
            sessions: std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)),
            queue: 256,
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_mins(5),
        }
    }
}

impl Config {
    /// Reads the environment. An empty variable counts as unset.
    ///
    /// # Errors
    /// A variable that is no address or no number.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var_os(name)?.into_string().ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let defaults = Self::default();
        let seconds = |name, default: Duration| {
            read(name, text(name), "a number of seconds above 0", |seconds: &u64| *seconds > 0)
                .map(|seconds| seconds.map_or(default, Duration::from_secs))
        };
        let above_zero = |number: &usize| *number > 0;
        let number = |name, expected| read(name, text(name), expected, above_zero);
        Ok(Self {
            bind: read("PROBEG_BIND", text("PROBEG_BIND"), "an address such as 127.0.0.1:8000", |_| true)?
                .unwrap_or(defaults.bind),
            admin_token: text("PROBEG_ADMIN_TOKEN").map(|token| Secret::new(&token)),
            api_keys: text("PROBEG_API_KEYS").map(|keys| split_keys(&keys)).unwrap_or_default(),
            max_upload_bytes: number("PROBEG_MAX_UPLOAD_BYTES", "a number of bytes above 0")?
                .unwrap_or(defaults.max_upload_bytes),
            sessions: number("PROBEG_SESSIONS", "a number above 0")?.unwrap_or(defaults.sessions),
            queue: number("PROBEG_QUEUE", "a number above 0")?.unwrap_or(defaults.queue),
            request_timeout: seconds("PROBEG_REQUEST_TIMEOUT_SECONDS", defaults.request_timeout)?,
            upload_timeout: seconds("PROBEG_UPLOAD_TIMEOUT_SECONDS", defaults.upload_timeout)?,
        })
    }
}

impl Secret {
    /// Keeps the hash of a secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether this is the secret. Hashes are compared, so the time it takes tells nothing of it.
    #[must_use]
    pub fn is(&self, candidate: &str) -> bool {
        *self == Self::new(candidate)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

fn split_keys(keys: &str) -> Vec<Secret> {
    keys.split(',').map(str::trim).filter(|key| !key.is_empty()).map(Secret::new).collect()
}

fn read<T: FromStr>(
    variable: &'static str,
    value: Option<String>,
    expected: &'static str,
    accepted: impl Fn(&T) -> bool,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match value.parse().ok().filter(accepted) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(ConfigError { variable, value, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn unset_and_empty_variables_leave_the_defaults() {
        let config = config(&[("PROBEG_BIND", ""), ("PROBEG_ADMIN_TOKEN", " ")]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
        assert!(config.admin_token.is_none() && config.api_keys.is_empty());
        assert_eq!(config.max_upload_bytes, 33_554_432);
    }

    #[test]
    fn keys_are_split_and_never_shown() {
        let config = config(&[("PROBEG_API_KEYS", "ann-1, bob-2,")]).unwrap();
        assert_eq!(config.api_keys.len(), 2);
        assert!(config.api_keys[1].is("bob-2") && !config.api_keys[1].is("bob-"));
        assert!(!format!("{config:?}").contains("bob"));
    }

    #[test]
    fn a_wrong_value_is_named() {
        let error = config(&[("PROBEG_BIND", "localhost")]).unwrap_err();
        assert_eq!(error.to_string(), "PROBEG_BIND=localhost: expected an address such as 127.0.0.1:8000");
        assert!(config(&[("PROBEG_SESSIONS", "0")]).is_err());
    }
}
