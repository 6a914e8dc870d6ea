//! Variables of the environment. Each is declared once, with its default and what the reference says of it; what is not
//! declared cannot be read.

use std::ffi::OsString;

use super::error::ConfigError;

/// A variable of the environment, made by [`declare_variables`](crate::declare_variables) only.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value that counts where it is unset. None where there is no such value: its description says what happens.
    pub default: Option<&'static str>,
    /// What it is for, line by line.
    pub description: &'static [&'static str],
}

/// Declares variables: a constant each, and `VARIABLES`, which lists them.
#[macro_export]
macro_rules! declare_variables {
    ($($(#[doc = $line:literal])+ $constant:ident: $name:literal, $default:expr;)+) => {
        $(
            $(#[doc = $line])+
            pub const $constant: $crate::Variable =
                $crate::Variable { name: $name, default: $default, description: &[$($line),+] };
        )+
        /// All of them, as the reference lists them.
        pub const VARIABLES: &[$crate::Variable] = &[$($constant),+];
    };
}

impl Variable {
    /// Its value as the environment has it. An empty one counts as unset: that is how Compose passes on a variable that
    /// is not set.
    ///
    /// # Errors
    /// The value is blank or not text. Taken for unset, it could leave a server open.
    pub fn given(&self) -> Result<Option<String>, ConfigError> {
        self.check(self.raw())
    }

    /// Its value, or else its default.
    ///
    /// # Errors
    /// As of [`Variable::given`].
    pub fn read(&self) -> Result<String, ConfigError> {
        Ok(self.given()?.unwrap_or_else(|| self.default.unwrap_or_default().to_owned()))
    }

    /// Whether the environment has it, even without a value.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.raw().is_some()
    }

    #[expect(clippy::disallowed_methods, reason = "the only place where a declared variable is read")]
    fn raw(&self) -> Option<OsString> {
        std::env::var_os(self.name)
    }

    pub(super) fn check(&self, value: Option<OsString>) -> Result<Option<String>, ConfigError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        let text = value.into_string().map_err(|_| ConfigError::NotUnicode(self.name))?;
        if text.trim().is_empty() { Err(ConfigError::Blank(self.name)) } else { Ok(Some(text)) }
    }
}
