//! Keys and tokens, of which only hashes are kept.

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ConfigError;

/// A secret, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret([u8; 32]);

/// How a secret is written that is given by its hash.
const HASHED: &str = "sha256:";

impl Secret {
    /// Keeps the hash of a secret.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A secret as it is, or `sha256:` and its hash in hexadecimal, which is no use to whoever reads it.
    pub(super) fn read(variable: &'static str, text: &str) -> Result<Self, ConfigError> {
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
