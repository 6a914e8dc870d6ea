//! The pages of models: what serves and served when, and a card for each version.

mod card;
mod change;
mod list;
mod served;
mod trust;

use axum::Router;
use axum::routing::get;

use crate::state::State;

/// The content of the pages.
pub(super) fn fragments() -> Router<State> {
    Router::new().route("/fragments/models", get(list::list)).route("/fragments/models/{version}", get(card::show))
}
