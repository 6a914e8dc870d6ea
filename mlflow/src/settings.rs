//! The address of an MLflow server and how to use it.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The address of an MLflow server and how to use it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address, such as `http://mlflow.example:5000`.
    pub uri: String,
    /// The name of the experiment.
    pub experiment: String,
    /// Who publishes, if the server wants to know.
    pub credentials: Option<Credentials>,
    /// A file of certificates (PEM) to trust in place of the public ones.
    pub certificates: Option<PathBuf>,
}

/// Who publishes.
#[derive(Clone)]
pub enum Credentials {
    /// A user with a password.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
}

impl Credentials {
    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> String {
        match self {
            Self::User { name, password } => format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
            Self::Token(token) => format!("Bearer {token}"),
        }
    }
}

impl fmt::Debug for Credentials {
    /// Without the secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User { .. } => "User",
            Self::Token(_) => "Token",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header_and_are_never_printed() {
        let user = Credentials::User { name: "ann".to_owned(), password: "secret".to_owned() };
        assert_eq!(user.header(), "Basic YW5uOnNlY3JldA==");
        assert_eq!(Credentials::Token("abc".to_owned()).header(), "Bearer abc");
        assert!(!format!("{user:?}").contains("secret"));
    }
}
