//! API keys and the admin token, stored as hashes.

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ConfigError;

/// A secret, stored as its SHA-256 hash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret([u8; 32]);

/// The prefix of a secret given as a hash.
const HASH_PREFIX: &str = "sha256:";

impl Secret {
    /// Hashes a secret.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Parses a plain secret, or `sha256:` followed by its hash in hexadecimal.
    pub(super) fn parse(variable: &'static str, text: &str) -> Result<Self, ConfigError> {
        let Some(hash) = text.strip_prefix(HASH_PREFIX) else {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ConfigError::InvalidSecret(variable))?;
            return Ok(Self::new(text));
        };
        let byte = |start| hash.get(start..start + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hash.len()).step_by(2).map(byte).collect();
        // `from_str_radix` would accept a sign.
        let bytes = bytes.filter(|_| hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
        // The value may be a mistyped secret and must not be printed.
        let invalid = ConfigError::Invalid {
            variable,
            value: HASH_PREFIX.to_owned() + "…",
            expected: "64 hexadecimal digits after the prefix",
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(invalid)
    }

    /// Compares a candidate with the secret, by hash and in constant time.
    #[must_use]
    pub fn matches(&self, candidate: impl AsRef<[u8]>) -> bool {
        self.0.ct_eq(&Self::new(candidate).0).into()
    }

    /// A name for the log that does not reveal the secret.
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
