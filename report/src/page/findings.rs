//! What to know first.

use maud::{Markup, html};

use super::parts::{paragraph, render_section};
use crate::findings::{Finding, Severity};
use crate::section::Section;
use crate::words::Words;

pub(super) fn section(found: &[Finding]) -> Markup {
    let body = html! {
        ol.findings {
            @for finding in found {
                (item(finding))
            }
            @if found.is_empty() {
                (paragraph(&Words::new("Ничего примечательного не найдено.", "Nothing remarkable was found.")))
            }
        }
    };
    render_section(Section::Findings, &Words::new("Главное", "What to know first"), &body)
}

fn item(finding: &Finding) -> Markup {
    let (class, mark) = match finding.severity {
        Severity::Grave => ("grave", Words::new("Важно", "Grave")),
        Severity::Warning => ("warning", Words::new("Учесть", "Mind")),
        Severity::Note => ("note", Words::new("К сведению", "Note")),
    };
    html! {
        li class=(class) {
            b.badge { (mark) }
            div {
                (paragraph(&finding.text))
                p.advice { (finding.advice) " " a href=(format!("#{}", finding.section.id())) { "↓" } }
            }
        }
    }
}
