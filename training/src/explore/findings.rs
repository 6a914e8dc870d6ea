//! What to know first: whatever the figures show that decides how to model, in sentences.

mod columns;
mod rows;
mod values;

use domain::Column;
use serde::Serialize;

use super::Exploration;
use super::words::{Language, Words};
pub(super) use values::check;

/// Something to know before training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The section of the report that shows it.
    pub section: &'static str,
    /// What was found, with figures.
    pub text: Words,
    /// What to do about it.
    pub advice: Words,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A model that ignores it is wrong or is measured wrongly.
    Grave,
    /// It costs accuracy.
    Warning,
    /// Good to know.
    Note,
}

/// All findings, the gravest first.
pub(super) fn find(figures: &Exploration) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        columns::absent(figures),
        columns::constant(figures),
        columns::betraying_absences(figures),
        rows::market(figures),
        rows::dates_by_source(figures),
        rows::relisted(figures),
        rows::same_description(figures),
        rows::no_dates(figures),
        rows::one_source(figures),
        rows::few(figures),
        columns::betraying_values(figures),
        columns::own_words(figures),
        columns::nearly_constant(figures),
        columns::drifting(figures),
        columns::mostly_missing(figures),
        values::far_out(figures),
        values::contradictions(figures),
        values::guessed_mileages(figures),
        columns::long_tails(figures),
        rows::dominance(figures),
        rows::exact(figures),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Stable: within one severity the order above stays.
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn finding(severity: Severity, section: &'static str, text: Words, advice: Words) -> Finding {
    Finding { severity, section, text, advice }
}

/// A column by its name in tables and by what people call it.
fn named(language: Language, column: Column) -> String {
    let label = language.column(column);
    if label == column.name() { label.to_owned() } else { format!("{} ({label})", column.name()) }
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
