//! The language of messages.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;
use domain::Language;

/// The language that a client prefers for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreferredLanguage(pub(crate) Language);

impl PreferredLanguage {
    /// By the `Accept-Language` header.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let header = headers.get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
        Self(header.map(Language::preferred).unwrap_or_default())
    }
}

impl<S: Sync> FromRequestParts<S> for PreferredLanguage {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}
