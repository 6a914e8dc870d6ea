//! Findings: what the figures mean for modelling, in sentences.

mod columns;
mod finding;
mod rows;
mod values;

use crate::figures::Figures;
pub use finding::{Finding, Severity};
pub(crate) use values::check_label;

/// All findings, the most severe first.
pub(crate) fn find(figures: &Figures) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        columns::absent_columns(figures),
        columns::constant_columns(figures),
        columns::absence_leaks(figures),
        rows::market_change(figures),
        rows::confounded_dates(figures),
        rows::relisted_cars(figures),
        rows::identical_descriptions(figures),
        rows::missing_dates(figures),
        rows::missing_sources(figures),
        rows::few_listings(figures),
        columns::value_leaks(figures),
        columns::source_specific_values(figures),
        columns::nearly_constant_columns(figures),
        columns::drifting_columns(figures),
        columns::mostly_missing_columns(figures),
        values::outliers(figures),
        values::contradictions(figures),
        values::rounded_mileages(figures),
        columns::long_tails(figures),
        rows::dominant_make(figures),
        rows::skipped_rows(figures),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The sort is stable: within one severity, the order above is preserved.
    findings.sort_by_key(|finding| finding.severity);
    findings
}
