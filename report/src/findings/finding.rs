//! A finding, and helpers for its text.

use domain::{Column, Language};
use serde::Serialize;

use crate::section::Section;
use crate::words::LocalizedText;

/// A finding about the data that matters for training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// The section of the report that shows it.
    pub section: Section,
    /// What was found, with figures.
    pub text: LocalizedText,
    /// What to do about it.
    pub advice: LocalizedText,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Ignoring it makes the model or its evaluation wrong.
    #[serde(rename = "grave")]
    Critical,
    /// Ignoring it costs accuracy.
    Warning,
    /// Good to know.
    Note,
}

pub(super) fn finding(severity: Severity, section: Section, text: LocalizedText, advice: LocalizedText) -> Finding {
    Finding { severity, section, text, advice }
}

/// The name of a column, followed by its label.
pub(super) fn column_name(language: Language, column: Column) -> String {
    let label = language.of_both(column.label());
    if label == column.name() { label.to_owned() } else { format!("{} ({label})", column.name()) }
}

pub(super) fn join_list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
