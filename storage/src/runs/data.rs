//! The listings that a run could learn from.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The listings of a market at the start of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "rows": 72420, "first_date": "2023-01-02", "last_date": "2026-11-19", "imports": [1, 2], "fingerprint": "8c1f0a52be9d3371"
}))]
pub struct RunData {
    /// Their number, whether or not they are of the task.
    pub rows: u64,
    /// The date of the oldest one.
    pub first_date: Option<NaiveDate>,
    /// The date of the newest one.
    pub last_date: Option<NaiveDate>,
    /// The numbers of the imports that added them.
    pub imports: Vec<i64>,
    /// A fingerprint of their content, equal for equal listings in the same database server.
    pub fingerprint: String,
}
