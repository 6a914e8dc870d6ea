//! The pages of runs: fragments of HTML that a shell without content fetches, so that they need the API key as other data do.

mod curves;
mod runs;
mod words;

use axum::Router;
use axum::routing::get;

use crate::state::State;

/// The content of the pages.
pub(crate) fn fragments() -> Router<State> {
    Router::new()
        .route("/fragments/experiments", get(runs::list))
        .route("/fragments/experiments/compare", get(runs::compare))
        .route("/fragments/experiments/{id}", get(runs::show))
}
