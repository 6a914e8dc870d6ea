//! Admission: the key or token, the size of the body and the timeout of a group of routes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Extracted};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Language;

use crate::http::access::keys::Keys;
use crate::http::body::{Admitted, content_length};
use crate::http::budget::Caller;
use crate::http::connections::Peer;
use crate::http::problem::Problem;
use crate::http::request_log::RequestId;

/// The admission rules of a group of routes. It is a single layer, since each layer costs every request several
/// allocations.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) keys: Arc<Keys>,
    pub(crate) access: Access,
    /// The maximum size of a body in bytes.
    pub(crate) max_bytes: usize,
    /// How long the response may take.
    pub(crate) timeout: Duration,
}

/// The credentials that a request needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// None.
    Open,
    /// An API key, if any are configured.
    Key,
    /// The admin token.
    Admin,
}

/// Admits or refuses a request, and limits the time of its response.
pub(crate) async fn admit(Extracted(gate): Extracted<Gate>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = gate.admit(&mut request) {
        return problem.into_response();
    }
    match tokio::time::timeout(gate.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::TimedOut { seconds: gate.timeout.as_secs() }.into_response(),
    }
}

impl Gate {
    fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        let key = match self.access {
            Access::Open => None,
            Access::Key => self.keys.admit(request.headers(), peer(request))?,
            Access::Admin => {
                self.admit_admin(request)?;
                None
            }
        };
        if content_length(request.headers()).is_some_and(|length| length > self.max_bytes) {
            return Err(Problem::TooLarge { limit: self.max_bytes });
        }
        // A body without a declared length is counted while it is read.
        let caller = key.map_or_else(|| Caller::at(peer(request)), Caller::Key);
        request.extensions_mut().insert(Admitted { caller, max_bytes: self.max_bytes });
        Ok(())
    }

    fn admit_admin(&self, request: &mut Request) -> Result<(), Problem> {
        let id = request.extensions().get().cloned().unwrap_or(RequestId(HeaderValue::from_static("none")));
        let address = peer(request);
        let token = self.keys.admit_admin(request.headers(), address).inspect_err(|problem| {
            // Further guesses would flood the log; they are counted in the metrics.
            if matches!(problem, Problem::TooManyAttempts { .. }) {
                return;
            }
            let reason = problem.title(Language::English);
            let client = tracing::field::display(address);
            tracing::warn!(
                target: AUDIT,
                { request.id = id.as_str(), client.address = client, reason },
                "A change was refused: {reason}."
            );
        })?;
        request.extensions_mut().insert(Admin { token, request: id });
        Ok(())
    }
}

/// The address of the caller; unspecified for requests that do not come over a network.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address)
}

/// The administrator who makes a change, and the request.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    token: String,
    pub(crate) request: RequestId,
}

impl Admin {
    /// The name for the log and the history.
    pub(crate) fn who(&self) -> String {
        format!("admin {} over HTTP", self.token)
    }
}

/// The log target for changes and attempted changes.
pub(crate) const AUDIT: &str = "probeg::audit";
