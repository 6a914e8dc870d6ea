//! Requests to an MLflow server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::header::{AUTHORIZATION, LOCATION};
use ureq::http::{HeaderValue, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest upload that is waited for, in bytes per second.
const MIN_UPLOAD_RATE: u64 = 256 << 10;
/// The maximum size of a response. A page of a figure's history has 4 MB at most.
const MAX_RESPONSE_BYTES: u64 = 32 << 20;

/// A client of an MLflow server. Its calls block.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    /// The address without a slash at its end.
    server: String,
    authorization: Option<HeaderValue>,
    /// Set to fail all further requests.
    abandoned: Arc<AtomicBool>,
}

/// The response to a request, unless none arrived.
type Received = std::result::Result<Response<Body>, ureq::Error>;

/// MLflow's description of a failure.
#[derive(Deserialize)]
struct Failure {
    error_code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// # Errors
    /// The settings are invalid.
    pub(crate) fn new(settings: &Settings, abandoned: Arc<AtomicBool>) -> Result<Self> {
        let authorization = match &settings.credentials {
            Some(credentials) => {
                let mut value = HeaderValue::from_str(&credentials.header()).map_err(|_| Error::Credentials)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let certificates = settings.certificates.as_deref().map(read_certificates).transpose()?;
        let tls = TlsConfig::builder().root_certs(certificates.unwrap_or(RootCerts::WebPki)).build();
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls)
            .user_agent(concat!("probeg/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), server: check_address(&settings.uri)?, authorization, abandoned })
    }

    /// The address without a slash at its end.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Calls `GET /api/2.0/mlflow/PATH`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.check()?;
        let mut request = self.agent.get(format!("{}/api/2.0/mlflow/{path}", self.server));
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.read(path, request.call())
    }

    /// Calls `POST /api/2.0/mlflow/PATH`.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        self.check()?;
        let mut request = self.agent.post(format!("{}/api/2.0/mlflow/{path}", self.server));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.read(path, request.content_type("application/json").send(body.to_string()))
    }

    /// Stores an artifact through the server, below the root of its artifacts.
    pub(crate) fn upload(&self, artifact: &str, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let path = format!("mlflow-artifacts/artifacts/{artifact}");
        let limit = REQUEST_TIMEOUT + Duration::from_secs(bytes.len() as u64 / MIN_UPLOAD_RATE);
        let mut request = self.agent.put(format!("{}/api/2.0/{path}", self.server));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.content_type("application/octet-stream").config().timeout_global(Some(limit)).build();
        let (status, body) = self.receive(request.send(bytes))?;
        if status < 300 { Ok(()) } else { Err(self.failure(&path, status, &body)) }
    }

    fn check(&self) -> Result<()> {
        if self.abandoned.load(Ordering::Relaxed) { Err(Error::Abandoned) } else { Ok(()) }
    }

    fn read<T: DeserializeOwned>(&self, path: &str, response: Received) -> Result<T> {
        let (status, body) = self.receive(response)?;
        if status >= 300 {
            return Err(self.failure(path, status, &body));
        }
        serde_json::from_slice(&body).map_err(|_| Error::NotMlflow { server: self.server.clone(), status })
    }

    /// The status and the body of a response.
    fn receive(&self, response: Received) -> Result<(u16, Vec<u8>)> {
        let mut response = response.map_err(|cause| self.unavailable(cause))?;
        let status = response.status().as_u16();
        if let Some(location) = response.headers().get(LOCATION).filter(|_| (300..400).contains(&status)) {
            let location = location.to_str().unwrap_or("another address").to_owned();
            return Err(Error::Redirected { server: self.server.clone(), location });
        }
        let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec();
        Ok((status, body.map_err(|cause| self.unavailable(cause))?))
    }

    fn failure(&self, path: &str, status: u16, body: &[u8]) -> Error {
        let server = self.server.clone();
        match (status, serde_json::from_slice::<Failure>(body)) {
            (401 | 403, _) => Error::Denied { server, status },
            (_, Ok(Failure { error_code: code, message })) => Error::Rejected { path: path.to_owned(), code, message },
            (429 | 500.., Err(_)) => Error::Unavailable { server, cause: format!("status {status}") },
            (_, Err(_)) => Error::NotMlflow { server, status },
        }
    }

    fn unavailable(&self, cause: ureq::Error) -> Error {
        let cause = match cause {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                format!("no connection within {} seconds", CONNECT_TIMEOUT.as_secs())
            }
            ureq::Error::Timeout(_) => format!("no response within {} seconds", REQUEST_TIMEOUT.as_secs()),
            ureq::Error::Io(cause) if cause.to_string().contains("certificate") => {
                format!(
                    "{cause}; MLFLOW_TRACKING_SERVER_CERT_PATH must name the certificate of the authority that signed it"
                )
            }
            ureq::Error::Io(cause) => cause.to_string(),
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            cause => cause.to_string(),
        };
        Error::Unavailable { server: self.server.clone(), cause }
    }
}

/// The address without a slash at its end.
fn check_address(uri: &str) -> Result<String> {
    let address: Uri = uri.trim().parse().map_err(|_| Error::Address("it is not a URL"))?;
    if !matches!(address.scheme_str(), Some("http" | "https")) {
        return Err(Error::Address("it does not start with http:// or https://"));
    }
    if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Error::Address(
            "the user and the password belong into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ));
    }
    if address.query().is_some() {
        return Err(Error::Address("it has a query"));
    }
    Ok(uri.trim().trim_end_matches('/').to_owned())
}

fn read_certificates(path: &Path) -> Result<RootCerts> {
    let failed = |cause: String| Error::Certificate { path: path.to_owned(), cause };
    let pem = std::fs::read(path).map_err(|cause| failed(cause.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|cause| failed(cause.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err(failed("it contains none".to_owned())) } else { Ok(RootCerts::from(certificates)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_without_credentials_are_accepted() {
        assert_eq!(check_address(" https://mlflow.example/prefix/ ").unwrap(), "https://mlflow.example/prefix");
        for wrong in ["", "mlflow", "sqlite:///mlflow.db", "file:///tmp", "http://ann:secret@host", "http://host/?a=b"]
        {
            let error = check_address(wrong).unwrap_err();
            assert!(matches!(error, Error::Address(_)) && !error.to_string().contains("secret"), "{wrong}: {error}");
        }
    }
}
