//! How the server is set up, from the environment.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PROBEG_BIND`: where to listen. Default `127.0.0.1:8000`.
    pub bind: SocketAddr,
    /// `PROBEG_ADMIN_TOKEN`: the token that may move the champion, none of the API keys. Unset: nobody may.
    pub admin_token: Option<Secret>,
    /// `PROBEG_API_KEYS`, separated by commas: one of them must come with each request. Unset: open.
    pub api_keys: Vec<Secret>,
    /// `PROBEG_RATE_LIMIT`: how many requests a second each API key may make, with as many at once. Each car of a batch
    /// or a workbook counts as one. Unset: no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// `PROBEG_CORS_ORIGINS`, separated by commas: the origins whose pages may call the API. Unset: none.
    pub cors_origins: Vec<HeaderValue>,
    /// `PROBEG_MAX_UPLOAD_BYTES`: the largest workbook or batch. Default 32 MiB.
    pub max_upload_bytes: usize,
    /// `PROBEG_MAX_JSON_BYTES`: the largest body of any other request. Default 1 MiB.
    pub max_json_bytes: usize,
    /// `PROBEG_MEMORY_BYTES`: how much memory bodies and files take at a time, over all callers: one caller gets half of
    /// what is free. Default 64 MiB, twice the largest body at least.
    pub memory_bytes: usize,
    /// `PROBEG_DISK_BYTES`: how much of the disk uploads and results take at a time, in the same way. Default 1 GiB.
    pub disk_bytes: usize,
    /// `PROBEG_MAX_JSON_DEPTH`: how deep JSON may be nested. Default 16.
    pub max_json_depth: usize,
    /// `PROBEG_MAX_ROWS`: the most rows of a workbook. Default 200,000.
    pub max_rows: usize,
    /// `PROBEG_MAX_CONNECTIONS`: how many may be connected; when more come, those that have been silent for longest are
    /// closed. Default 8,192, or what the limit of open files allows.
    pub max_connections: usize,
    /// `PROBEG_SESSIONS`: how many threads value single cars, and how many large workbooks are valued beside them.
    /// Default: half as many as processors, for the other half reads requests and writes answers.
    pub sessions: usize,
    /// `PROBEG_QUEUE`: how many more may wait before the server refuses. Default 256.
    pub queue: usize,
    /// `PROBEG_REQUEST_TIMEOUT_SECONDS`: the longest that one request may take. Default 30.
    pub request_timeout: Duration,
    /// `PROBEG_UPLOAD_TIMEOUT_SECONDS`: the longest that a workbook or a batch may take. Default 300.
    pub upload_timeout: Duration,
    /// `PROBEG_IDLE_TIMEOUT_SECONDS`: the longest that a caller may take to ask, to send more of a body, or to take in
    /// some of an answer. A body that takes longer in all has to bring a kilobyte a second on average. Default 30.
    pub idle_timeout: Duration,
    /// `PROBEG_DRAIN_SECONDS`: how long a server that is stopped goes on to answer, not ready any more. Default 2.
    pub drain: Duration,
    /// Where the server keeps files: the last model that it served, uploads, results. Set by the command to a folder of
    /// `PROBEG_HOME`.
    pub folder: PathBuf,
}

/// A secret, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret([u8; 32]);

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

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8000)),
            admin_token: None,
            api_keys: Vec::new(),
            rate_limit: None,
            cors_origins: Vec::new(),
            max_upload_bytes: 32 << 20,
            max_json_bytes: 1 << 20,
            memory_bytes: 64 << 20,
            disk_bytes: 1 << 30,
            max_json_depth: 16,
            max_rows: 200_000,
            max_connections: 8192,
            sessions: std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)),
            queue: 256,
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_mins(5),
            idle_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            folder: std::env::temp_dir().join("probeg-server"),
        }
    }
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable that cannot be used; see [`variable`] for those that count as unset.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(variable)
    }

    fn from_variables(
        variable: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let text = |name| Ok(variable(name)?.map(|value| value.trim().to_owned()));
        let defaults = Self::default();
        let up_to = |most: usize, name, expected, default: usize| {
            read(name, text(name)?, expected, |number: &usize| (1..=most).contains(number))
                .map(|number| number.unwrap_or(default))
        };
        let number = |name, expected, default| up_to(MAX_BYTES, name, expected, default);
        let seconds = |name, least: u64, default: Duration| {
            let expected = if least == 0 { "seconds, up to a day" } else { "seconds, from 1 up to a day" };
            read(name, text(name)?, expected, |seconds: &u64| (least..=MAX_SECONDS).contains(seconds))
                .map(|seconds| seconds.map_or(default, Duration::from_secs))
        };
        let bytes = "a number of bytes above 0";
        let count = "a number above 0";
        let address = "an address such as 127.0.0.1:8000";
        let config = Self {
            bind: read("PROBEG_BIND", text("PROBEG_BIND")?, address, |_| true)?.unwrap_or(defaults.bind),
            admin_token: text(ADMIN_TOKEN)?.map(|token| Secret::read(ADMIN_TOKEN, &token)).transpose()?,
            api_keys: list(API_KEYS, text(API_KEYS)?, |key| Secret::read(API_KEYS, key))?,
            rate_limit: read("PROBEG_RATE_LIMIT", text("PROBEG_RATE_LIMIT")?, count, |_| true)?,
            cors_origins: list(CORS_ORIGINS, text(CORS_ORIGINS)?, read_origin)?,
            max_upload_bytes: number("PROBEG_MAX_UPLOAD_BYTES", bytes, defaults.max_upload_bytes)?,
            max_json_bytes: number("PROBEG_MAX_JSON_BYTES", bytes, defaults.max_json_bytes)?,
            memory_bytes: number("PROBEG_MEMORY_BYTES", bytes, defaults.memory_bytes)?,
            disk_bytes: number("PROBEG_DISK_BYTES", bytes, defaults.disk_bytes)?,
            max_json_depth: number("PROBEG_MAX_JSON_DEPTH", count, defaults.max_json_depth)?,
            max_rows: number("PROBEG_MAX_ROWS", count, defaults.max_rows)?,
            max_connections: up_to(
                1_000_000,
                "PROBEG_MAX_CONNECTIONS",
                "a number from 1 to 1000000",
                defaults.max_connections,
            )?,
            sessions: up_to(1024, "PROBEG_SESSIONS", "a number from 1 to 1024", defaults.sessions)?,
            queue: up_to(1_000_000, "PROBEG_QUEUE", "a number from 1 to 1000000", defaults.queue)?,
            request_timeout: seconds("PROBEG_REQUEST_TIMEOUT_SECONDS", 1, defaults.request_timeout)?,
            upload_timeout: seconds("PROBEG_UPLOAD_TIMEOUT_SECONDS", 1, defaults.upload_timeout)?,
            idle_timeout: seconds("PROBEG_IDLE_TIMEOUT_SECONDS", 1, defaults.idle_timeout)?,
            drain: seconds("PROBEG_DRAIN_SECONDS", 0, defaults.drain)?,
            folder: defaults.folder,
        };
        if config.admin_token.as_ref().is_some_and(|token| config.api_keys.contains(token)) {
            return Err(ConfigError::AdminTokenIsKey);
        }
        Ok(config)
    }
}

/// More than any machine has, and few enough for sums of them not to overflow.
const MAX_BYTES: usize = 1 << 50;
const MAX_SECONDS: u64 = 24 * 60 * 60;

const ADMIN_TOKEN: &str = "PROBEG_ADMIN_TOKEN";
const API_KEYS: &str = "PROBEG_API_KEYS";
const CORS_ORIGINS: &str = "PROBEG_CORS_ORIGINS";

/// A variable of the environment. An empty one counts as unset: that is how Compose passes on a variable that is not
/// set.
///
/// # Errors
/// The value is blank or not text. Taken for unset, it could leave a server open.
pub fn variable(name: &'static str) -> Result<Option<String>, ConfigError> {
    checked(name, std::env::var_os(name))
}

fn checked(name: &'static str, value: Option<OsString>) -> Result<Option<String>, ConfigError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.into_string().map_err(|_| ConfigError::NotUnicode(name))?;
    if text.trim().is_empty() { Err(ConfigError::Blank(name)) } else { Ok(Some(text)) }
}

/// How a secret is written that is given by its hash.
const HASHED: &str = "sha256:";

impl Secret {
    /// Keeps the hash of a secret.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A secret as it is, or `sha256:` and its hash in hexadecimal, which is no use to whoever reads it.
    fn read(variable: &'static str, text: &str) -> Result<Self, ConfigError> {
        let Some(hash) = text.strip_prefix(HASHED) else {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ConfigError::Unsendable(variable))?;
            return Ok(Self::new(text));
        };
        let byte = |place| hash.get(place..place + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hash.len()).step_by(2).map(byte).collect();
        // A sign would be read as part of a number.
        let bytes = bytes.filter(|_| hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
        // Not told with its value, which may be a secret that was mistyped.
        let wrong = ConfigError::Invalid {
            variable,
            value: HASHED.to_owned() + "…",
            expected: "64 hexadecimal digits behind it",
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(wrong)
    }

    /// Whether this is the secret. Hashes are compared, all of each, so the time it takes tells nothing of it.
    #[must_use]
    pub fn is(&self, candidate: impl AsRef<[u8]>) -> bool {
        self.0.ct_eq(&Self::new(candidate).0).into()
    }

    /// A name for the log, from which nobody finds the secret.
    #[must_use]
    pub fn name(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The entries of a list that is separated by commas. Each counts once; a list that is set has one at least.
fn list<T: Clone + Eq + Hash>(
    variable: &'static str,
    value: Option<String>,
    read_entry: impl Fn(&str) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let texts = value.split(',').map(str::trim).filter(|text| !text.is_empty());
    let entries = texts.map(read_entry).collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(ConfigError::EmptyList(variable));
    }
    if entries.iter().collect::<HashSet<_>>().len() < entries.len() {
        return Err(ConfigError::Repeated(variable));
    }
    Ok(entries)
}

/// Browsers name an origin without a path.
fn read_origin(text: &str) -> Result<HeaderValue, ConfigError> {
    let is_origin = text.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
    let origin = HeaderValue::from_str(text).ok().filter(|_| is_origin);
    let expected = "origins such as https://example.org";
    origin.ok_or_else(|| ConfigError::Invalid { variable: CORS_ORIGINS, value: text.to_owned(), expected })
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
        None => Err(ConfigError::Invalid { variable, value, expected }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn hash_of(secret: &str) -> String {
        Sha256::digest(secret).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
    }

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            checked(name, found.map(|(_, value)| (*value).into()))
        })
    }

    #[test]
    fn unset_and_empty_variables_leave_the_defaults() {
        let config = config(&[("PROBEG_BIND", ""), ("PROBEG_ADMIN_TOKEN", ""), ("PROBEG_API_KEYS", "")]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
        assert!(config.admin_token.is_none() && config.api_keys.is_empty());
        assert_eq!(config.max_upload_bytes, 33_554_432);
    }

    #[test]
    fn a_variable_that_is_set_is_never_taken_for_unset() {
        for name in ["PROBEG_API_KEYS", "PROBEG_ADMIN_TOKEN", "PROBEG_CORS_ORIGINS", "PROBEG_BIND", "PROBEG_ROWS"] {
            assert_eq!(checked(name, Some(" \t\n".into())), Err(ConfigError::Blank(name)));
            let not_text = Some(OsString::from_vec(vec![b'a', 0xff]));
            assert_eq!(checked(name, not_text), Err(ConfigError::NotUnicode(name)));
        }
        for name in ["PROBEG_API_KEYS", "PROBEG_CORS_ORIGINS"] {
            for value in [",", " , ,", ",\t,"] {
                assert_eq!(config(&[(name, value)]).unwrap_err(), ConfigError::EmptyList(name), "{value:?}");
            }
        }
    }

    #[test]
    fn numbers_that_no_machine_could_work_with_are_refused() {
        for name in ["PROBEG_MAX_CONNECTIONS", "PROBEG_QUEUE", "PROBEG_SESSIONS", "PROBEG_IDLE_TIMEOUT_SECONDS"] {
            assert!(config(&[(name, "7")]).is_ok(), "{name}");
            for value in ["0", "-1", "18446744073709551615", "99999999999", "many"] {
                assert!(matches!(config(&[(name, value)]), Err(ConfigError::Invalid { .. })), "{name}={value}");
            }
        }
    }

    #[test]
    fn keys_are_split_and_never_shown() {
        let config = config(&[("PROBEG_API_KEYS", "ann-1, bob-2,")]).unwrap();
        assert_eq!(config.api_keys.len(), 2);
        assert!(config.api_keys[1].is("bob-2") && !config.api_keys[1].is("bob-"));
        assert!(!format!("{config:?}").contains("bob"));
    }

    #[test]
    fn secrets_that_could_not_work_or_would_open_too_much_are_refused_without_showing_them() {
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
        assert!(config(&[("PROBEG_API_KEYS", "ключ")]).unwrap().api_keys[0].is("ключ"));
    }

    #[test]
    fn a_secret_may_be_given_by_its_hash() {
        let own = hash_of("ann-1");
        let hashed = config(&[("PROBEG_API_KEYS", &format!("sha256:{own}"))]).unwrap();
        assert!(hashed.api_keys[0].is("ann-1") && !hashed.api_keys[0].is(&own));
        for wrong in ["sha256:secret".to_owned(), "sha256:".to_owned(), format!("sha256:{}", "+f".repeat(32))] {
            let error = config(&[("PROBEG_ADMIN_TOKEN", &wrong)]).unwrap_err();
            assert_eq!(error.to_string(), "PROBEG_ADMIN_TOKEN=sha256:…: expected 64 hexadecimal digits behind it");
        }
    }

    #[test]
    fn origins_have_no_path() {
        let config_of = config(&[("PROBEG_CORS_ORIGINS", "https://a.example, http://localhost:3000")]).unwrap();
        assert_eq!(config_of.cors_origins.len(), 2);
        assert!(config(&[("PROBEG_CORS_ORIGINS", "https://a.example/")]).is_err());
        assert!(config(&[("PROBEG_CORS_ORIGINS", "*")]).is_err());
    }

    #[test]
    fn a_wrong_value_is_named() {
        let error = config(&[("PROBEG_BIND", "localhost")]).unwrap_err();
        assert_eq!(error.to_string(), "PROBEG_BIND=localhost: expected an address such as 127.0.0.1:8000");
        assert!(config(&[("PROBEG_SESSIONS", "0")]).is_err());
    }
}
