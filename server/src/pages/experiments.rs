//! The pages of runs and sweeps.

mod columns;
mod comparison;
mod coordinates;
mod curves;
mod residuals;
mod run;
mod sweep;
mod sweeps;
mod table;

use axum::Router;
use axum::routing::get;

use crate::state::State;

/// The content of the pages.
pub(super) fn fragments() -> Router<State> {
    Router::new()
        .route("/fragments/experiments", get(table::list))
        .route("/fragments/experiments/compare", get(comparison::compare))
        .route("/fragments/experiments/sweeps", get(sweeps::list))
        .route("/fragments/experiments/sweeps/{name}", get(sweep::show))
        .route("/fragments/experiments/{id}", get(run::show))
}
