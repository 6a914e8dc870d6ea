//! Environment variables. Each is declared once, with its default and its description for the reference.

use std::ffi::OsString;

use super::error::ConfigError;

/// An environment variable, declared by [`declare_variables`](crate::declare_variables).
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value if it is unset. If `None`, the description says what happens.
    pub default: Option<&'static str>,
    /// The description, line by line.
    pub description: &'static [&'static str],
}

/// Declares a constant for each variable, and `VARIABLES` with all of them.
#[macro_export]
macro_rules! declare_variables {
    ($($(#[doc = $line:literal])+ $constant:ident: $name:literal, $default:expr;)+) => {
        $(
            $(#[doc = $line])+
            pub const $constant: $crate::Variable =
                $crate::Variable { name: $name, default: $default, description: &[$($line),+] };
        )+
        /// All variables, in the order of the reference.
        pub const VARIABLES: &[$crate::Variable] = &[$($constant),+];
    };
}

impl Variable {
    /// The value, if it is set. An empty value counts as unset, since that is how Compose passes an unset variable.
    ///
    /// # Errors
    /// The value is blank or not text. Treating it as unset could leave a server unprotected.
    pub fn value(&self) -> Result<Option<String>, ConfigError> {
        self.check(self.raw())
    }

    /// The value or its default.
    ///
    /// # Errors
    /// See [`Variable::value`].
    pub fn value_or_default(&self) -> Result<String, ConfigError> {
        Ok(self.value()?.unwrap_or_else(|| self.default.unwrap_or_default().to_owned()))
    }

    /// Whether it is set, even to an empty value.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.raw().is_some()
    }

    #[expect(clippy::disallowed_methods, reason = "the only place that reads declared variables")]
    fn raw(&self) -> Option<OsString> {
        std::env::var_os(self.name)
    }

    pub(super) fn check(&self, value: Option<OsString>) -> Result<Option<String>, ConfigError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
        let text = value.into_string().map_err(|_| ConfigError::NotUnicode(self.name))?;
        if text.trim().is_empty() { Err(ConfigError::Blank(self.name)) } else { Ok(Some(text)) }
    }
}
