//! Errors of publishing, with advice.

use std::path::PathBuf;

/// The result of publishing.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of publishing. No message contains a password or a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is invalid. It is not repeated, since it may contain a password.
    #[error("MLFLOW_TRACKING_URI is not the address of an MLflow server, such as http://mlflow.example:5000: {0}")]
    Address(&'static str),
    /// The user, the password or the token cannot be sent.
    #[error("the credentials for MLflow contain characters that cannot be sent in a header; check MLFLOW_TRACKING_*")]
    Credentials,
    /// The certificates cannot be read.
    #[error("MLFLOW_TRACKING_SERVER_CERT_PATH: no certificates can be read from {path}: {cause}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: String,
    },
    /// The server does not respond.
    #[error("MLflow at {server} is unavailable: {cause}")]
    Unavailable {
        /// The address.
        server: String,
        /// The cause.
        cause: String,
    },
    /// The server rejects the credentials, or their user may not do this.
    #[error(
        "MLflow at {server} denied access (status {status}); check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or \
         MLFLOW_TRACKING_TOKEN"
    )]
    Denied {
        /// The address.
        server: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server redirects to another address. Credentials are not sent there.
    #[error("MLflow at {server} redirects to {location}; check MLFLOW_TRACKING_URI")]
    Redirected {
        /// The address.
        server: String,
        /// Where it redirects to.
        location: String,
    },
    /// Another server than MLflow.
    #[error("what responds at {server} is not MLflow (status {status}); check MLFLOW_TRACKING_URI")]
    NotMlflow {
        /// The address.
        server: String,
        /// The HTTP status.
        status: u16,
    },
    /// MLflow rejected a request.
    #[error("MLflow rejected {path}: {message} ({code})")]
    Rejected {
        /// The path of the request.
        path: String,
        /// MLflow's error code.
        code: String,
        /// MLflow's message.
        message: String,
    },
    /// The experiment was deleted on MLflow.
    #[error(
        "the experiment {0} was deleted on MLflow; restore it there, or name another one in MLFLOW_EXPERIMENT_NAME"
    )]
    DeletedExperiment(String),
    /// Artifacts of runs are not stored by the server, but by its clients.
    #[error(
        "MLflow stores artifacts at {0}, where Probeg cannot write, so the model was not sent; start MLflow with \
         --artifacts-destination, so that it stores them itself, and use a new experiment"
    )]
    ArtifactsElsewhere(String),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Publishing was abandoned, since the process ends.
    #[error("publishing to MLflow was interrupted")]
    Abandoned,
}

impl Error {
    /// Whether the same may succeed soon.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Storage(error) => error.is_unavailable(),
            _ => false,
        }
    }

    /// Whether MLflow says that something does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Rejected { code, .. } if code == "RESOURCE_DOES_NOT_EXIST")
    }

    /// Whether MLflow says that something exists already.
    pub(crate) fn is_present(&self) -> bool {
        matches!(self, Self::Rejected { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }
}
