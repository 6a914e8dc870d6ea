//! Load shedding for single cars.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::problem::Problem;
use crate::state::State;

/// Refuses a request while the inference queue is full, before its body is read.
pub(crate) struct Capacity;

impl FromRequestParts<State> for Capacity {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &State) -> Result<Self, Problem> {
        if state.engine().inference.is_full() { Err(Problem::Overloaded) } else { Ok(Self) }
    }
}
