//! The server's configuration, read from environment variables.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;

mod error;
mod secret;
#[macro_use]
mod variable;
mod variables;

pub use error::ConfigError;
pub use secret::Secret;
pub use variable::Variable;
pub use variables::VARIABLES;

/// The server's settings; each is documented by its variable in [`VARIABLES`].
#[derive(Clone, Debug)]
pub struct Config {
    /// `PROBEG_BIND`
    pub bind: SocketAddr,
    /// `PROBEG_ADMIN_TOKEN`; without it, the champion cannot be changed over HTTP.
    pub admin_token: Option<Secret>,
    /// `PROBEG_API_KEYS`; if empty, no key is required.
    pub api_keys: Vec<Secret>,
    /// `PROBEG_RATE_LIMIT`, per second and key.
    pub rate_limit: Option<NonZeroU32>,
    /// `PROBEG_CORS_ORIGINS`
    pub cors_origins: Vec<HeaderValue>,
    /// `PROBEG_MAX_UPLOAD_BYTES`
    pub max_upload_bytes: usize,
    /// `PROBEG_MAX_JSON_BYTES`
    pub max_json_bytes: usize,
    /// `PROBEG_MEMORY_BYTES`
    pub memory_bytes: usize,
    /// `PROBEG_DISK_BYTES`
    pub disk_bytes: usize,
    /// `PROBEG_MAX_JSON_DEPTH`
    pub max_json_depth: usize,
    /// `PROBEG_MAX_ROWS`
    pub max_rows: usize,
    /// `PROBEG_MAX_CONNECTIONS`
    pub max_connections: usize,
    /// `PROBEG_DEFAULT_TASK`
    pub default_task: Option<String>,
    /// `PROBEG_MODELS_MEMORY`
    pub models_memory: u64,
    /// `PROBEG_SESSIONS`
    pub sessions: usize,
    /// `PROBEG_QUEUE`
    pub queue: usize,
    /// `PROBEG_REQUEST_TIMEOUT_SECONDS`
    pub request_timeout: Duration,
    /// `PROBEG_UPLOAD_TIMEOUT_SECONDS`
    pub upload_timeout: Duration,
    /// `PROBEG_IDLE_TIMEOUT_SECONDS`
    pub idle_timeout: Duration,
    /// `PROBEG_DRAIN_SECONDS`
    pub drain: Duration,
    /// The folder for the cached model, uploads and results. The command sets it to a folder in `PROBEG_HOME`.
    pub folder: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        // All defaults are valid; a test covers this.
        Self::from_variables(|_| Ok(None)).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// An invalid variable; see [`Variable::value`].
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(Variable::value)
    }

    fn from_variables(read: impl Fn(&Variable) -> Result<Option<String>, ConfigError>) -> Result<Self, ConfigError> {
        let text = |variable: Variable| {
            let value = read(&variable)?.map(|value| value.trim().to_owned());
            Ok(Setting { value: value.or_else(|| variable.default.map(str::to_owned)), variable: variable.name })
        };
        let number =
            |variable, expected, max| text(variable)?.parse_required(expected, |number| (1..=max).contains(number));
        let bytes = |variable| number(variable, "a positive number of bytes", MAX_BYTES);
        let count = |variable| number(variable, "a positive number", MAX_BYTES);
        let seconds = |variable, min: u64| {
            let expected =
                if min == 0 { "a number of seconds, at most a day" } else { "a number of seconds, from 1 to a day" };
            let seconds = text(variable)?.parse_required(expected, |seconds| (min..=MAX_SECONDS).contains(seconds))?;
            Ok(Duration::from_secs(seconds))
        };
        let config = Self {
            bind: text(variables::BIND)?.parse_required("an address such as 127.0.0.1:8000", |_| true)?,
            admin_token: text(variables::ADMIN_TOKEN)?.parse_secret()?,
            api_keys: text(variables::API_KEYS)?.parse_list(Secret::parse)?,
            rate_limit: text(variables::RATE_LIMIT)?.parse_optional("a positive number", |_| true)?,
            cors_origins: text(variables::CORS_ORIGINS)?.parse_list(parse_origin)?,
            max_upload_bytes: bytes(variables::MAX_UPLOAD_BYTES)?,
            max_json_bytes: bytes(variables::MAX_JSON_BYTES)?,
            memory_bytes: bytes(variables::MEMORY_BYTES)?,
            disk_bytes: bytes(variables::DISK_BYTES)?,
            max_json_depth: count(variables::MAX_JSON_DEPTH)?,
            max_rows: count(variables::MAX_ROWS)?,
            max_connections: number(variables::MAX_CONNECTIONS, "a number from 1 to 1000000", 1_000_000)?,
            default_task: text(variables::DEFAULT_TASK)?.value.filter(|task| !task.is_empty()),
            models_memory: bytes(variables::MODELS_MEMORY)? as u64,
            sessions: text(variables::SESSIONS)?
                .parse_optional("a number from 1 to 1024", |sessions| (1..=1024).contains(sessions))?
                .unwrap_or_else(half_of_processors),
            queue: number(variables::QUEUE, "a number from 1 to 1000000", 1_000_000)?,
            request_timeout: seconds(variables::REQUEST_TIMEOUT_SECONDS, 1)?,
            upload_timeout: seconds(variables::UPLOAD_TIMEOUT_SECONDS, 1)?,
            idle_timeout: seconds(variables::IDLE_TIMEOUT_SECONDS, 1)?,
            drain: seconds(variables::DRAIN_SECONDS, 0)?,
            folder: std::env::temp_dir().join("probeg-server"),
        };
        if config.admin_token.as_ref().is_some_and(|token| config.api_keys.contains(token)) {
            return Err(ConfigError::AdminTokenIsKey);
        }
        Ok(config)
    }
}

/// More than any machine has, and small enough that sums do not overflow.
const MAX_BYTES: usize = 1 << 50;
const MAX_SECONDS: u64 = 24 * 60 * 60;

/// The other half of the processors reads requests and writes responses.
fn half_of_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// The text of a variable or its default.
struct Setting {
    variable: &'static str,
    value: Option<String>,
}

impl Setting {
    /// Parses the value of a variable that has a default.
    fn parse_required<T: FromStr>(
        self,
        expected: &'static str,
        accepts: impl Fn(&T) -> bool,
    ) -> Result<T, ConfigError> {
        let Self { variable, value } = self;
        let value = value.unwrap_or_default();
        let parsed = value.parse().ok().filter(accepts);
        parsed.ok_or(ConfigError::Invalid { variable, value, expected })
    }

    fn parse_optional<T: FromStr>(
        self,
        expected: &'static str,
        accepts: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, ConfigError> {
        if self.value.is_some() { self.parse_required(expected, accepts).map(Some) } else { Ok(None) }
    }

    fn parse_secret(self) -> Result<Option<Secret>, ConfigError> {
        self.value.map(|secret| Secret::parse(self.variable, &secret)).transpose()
    }

    /// Parses a comma-separated list, which must not be empty or contain duplicates.
    fn parse_list<T: Clone + Eq + Hash>(
        self,
        parse_entry: impl Fn(&'static str, &str) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let Self { variable, value } = self;
        let Some(value) = value else { return Ok(Vec::new()) };
        let texts = value.split(',').map(str::trim).filter(|text| !text.is_empty());
        let entries = texts.map(|text| parse_entry(variable, text)).collect::<Result<Vec<_>, _>>()?;
        if entries.is_empty() {
            return Err(ConfigError::EmptyList(variable));
        }
        if entries.iter().collect::<HashSet<_>>().len() < entries.len() {
            return Err(ConfigError::DuplicateEntry(variable));
        }
        Ok(entries)
    }
}

/// An origin has no path.
fn parse_origin(variable: &'static str, text: &str) -> Result<HeaderValue, ConfigError> {
    let is_origin = text.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
    let origin = HeaderValue::from_str(text).ok().filter(|_| is_origin);
    let expected = "origins such as https://example.org";
    origin.ok_or_else(|| ConfigError::Invalid { variable, value: text.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use sha2::{Digest, Sha256};

    use super::*;

    fn hash_of(secret: &str) -> String {
        Sha256::digest(secret).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
    }

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|variable| {
            let value = variables.iter().find(|(name, _)| *name == variable.name);
            variable.check(value.map(|(_, value)| (*value).into()))
        })
    }

    #[test]
    fn unset_and_empty_variables_use_the_defaults() {
        let config = config(&[("PROBEG_BIND", ""), ("PROBEG_ADMIN_TOKEN", ""), ("PROBEG_API_KEYS", "")]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
        assert!(config.admin_token.is_none() && config.api_keys.is_empty());
        assert_eq!(config.max_upload_bytes, 33_554_432);
    }

    #[test]
    fn blank_variables_are_errors() {
        for variable in VARIABLES {
            assert_eq!(variable.check(Some(" \t\n".into())), Err(ConfigError::Blank(variable.name)));
            let not_text = Some(OsString::from_vec(vec![b'a', 0xff]));
            assert_eq!(variable.check(not_text), Err(ConfigError::NotUnicode(variable.name)));
        }
        for name in ["PROBEG_API_KEYS", "PROBEG_CORS_ORIGINS"] {
            for value in [",", " , ,", ",\t,"] {
                assert_eq!(config(&[(name, value)]).unwrap_err(), ConfigError::EmptyList(name), "{value:?}");
            }
        }
    }

    #[test]
    fn numbers_out_of_range_are_rejected() {
        for name in ["PROBEG_MAX_CONNECTIONS", "PROBEG_QUEUE", "PROBEG_SESSIONS", "PROBEG_IDLE_TIMEOUT_SECONDS"] {
            assert!(config(&[(name, "7")]).is_ok(), "{name}");
            for value in ["0", "-1", "18446744073709551615", "99999999999", "many"] {
                assert!(matches!(config(&[(name, value)]), Err(ConfigError::Invalid { .. })), "{name}={value}");
            }
        }
    }

    #[test]
    fn keys_are_split_and_never_printed() {
        let config = config(&[("PROBEG_API_KEYS", "ann-1, bob-2,")]).unwrap();
        assert_eq!(config.api_keys.len(), 2);
        assert!(config.api_keys[1].matches("bob-2") && !config.api_keys[1].matches("bob-"));
        assert!(!format!("{config:?}").contains("bob"));
    }

    #[test]
    fn invalid_secrets_are_rejected_without_printing_them() {
        let hash = hash_of("ann").to_uppercase();
        let twice = format!("ann,sha256:{hash}");
        for (variables, message) in [
            (&[("PROBEG_API_KEYS", "ann, bob,ann")][..], "PROBEG_API_KEYS lists the same entry twice"),
            (&[("PROBEG_API_KEYS", twice.as_str())], "PROBEG_API_KEYS lists the same entry twice"),
            (
                &[("PROBEG_API_KEYS", "ann\nbob")],
                "PROBEG_API_KEYS: a secret must not contain line breaks or other control characters",
            ),
            (
                &[("PROBEG_API_KEYS", "bob,ann"), ("PROBEG_ADMIN_TOKEN", "ann")],
                "PROBEG_ADMIN_TOKEN is one of PROBEG_API_KEYS; choose another token",
            ),
        ] {
            assert_eq!(config(variables).unwrap_err().to_string(), message);
        }
        assert!(config(&[("PROBEG_API_KEYS", "ключ")]).unwrap().api_keys[0].matches("ключ"));
    }

    #[test]
    fn secrets_can_be_given_as_hashes() {
        let own = hash_of("ann-1");
        let hashed = config(&[("PROBEG_API_KEYS", &format!("sha256:{own}"))]).unwrap();
        assert!(hashed.api_keys[0].matches("ann-1") && !hashed.api_keys[0].matches(&own));
        for wrong in ["sha256:secret".to_owned(), "sha256:".to_owned(), format!("sha256:{}", "+f".repeat(32))] {
            let error = config(&[("PROBEG_ADMIN_TOKEN", &wrong)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                "PROBEG_ADMIN_TOKEN=sha256:…: expected 64 hexadecimal digits after the prefix"
            );
        }
    }

    #[test]
    fn origins_must_not_have_a_path() {
        let valid = config(&[("PROBEG_CORS_ORIGINS", "https://a.example, http://localhost:3000")]).unwrap();
        assert_eq!(valid.cors_origins.len(), 2);
        assert!(config(&[("PROBEG_CORS_ORIGINS", "https://a.example/")]).is_err());
        assert!(config(&[("PROBEG_CORS_ORIGINS", "*")]).is_err());
    }

    #[test]
    fn invalid_values_are_named() {
        let error = config(&[("PROBEG_BIND", "localhost")]).unwrap_err();
        assert_eq!(error.to_string(), "PROBEG_BIND=localhost: expected an address such as 127.0.0.1:8000");
        assert!(config(&[("PROBEG_SESSIONS", "0")]).is_err());
    }
}
