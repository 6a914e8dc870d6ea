//! A finding, and how its sentence is put together.

use domain::Column;
use serde::Serialize;

use crate::section::Section;
use crate::words::{Language, Words};

/// Something to know before training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The section of the report that shows it.
    pub section: Section,
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

pub(super) fn finding(severity: Severity, section: Section, text: Words, advice: Words) -> Finding {
    Finding { severity, section, text, advice }
}

/// A column by its name in tables and by what people call it.
pub(super) fn column_name(language: Language, column: Column) -> String {
    let label = language.column(column);
    if label == column.name() { label.to_owned() } else { format!("{} ({label})", column.name()) }
}

pub(super) fn join_list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
