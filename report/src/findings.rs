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
        columns::absent(figures),
        columns::constant(figures),
        columns::leaking_absences(figures),
        rows::market(figures),
        rows::dates_by_source(figures),
        rows::relisted(figures),
        rows::same_description(figures),
        rows::no_dates(figures),
        rows::one_source(figures),
        rows::few(figures),
        columns::leaking_values(figures),
        columns::source_specific_values(figures),
        columns::nearly_constant(figures),
        columns::drifting(figures),
        columns::mostly_missing(figures),
        values::outliers(figures),
        values::contradictions(figures),
        values::rounded_mileages(figures),
        columns::long_tails(figures),
        rows::dominance(figures),
        rows::exact(figures),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The sort is stable: within one severity, the order above is preserved.
    findings.sort_by_key(|finding| finding.severity);
    findings
}
