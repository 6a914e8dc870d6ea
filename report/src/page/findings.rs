//! The findings.

use maud::{Markup, html};

use super::parts::{paragraph, render_section};
use crate::findings::{Finding, Severity};
use crate::section::Section;
use crate::words::LocalizedText;

pub(super) fn section(found: &[Finding]) -> Markup {
    let body = html! {
        ol.findings {
            @for finding in found {
                (item(finding))
            }
            @if found.is_empty() {
                (paragraph(&LocalizedText::new("Ничего примечательного не найдено.", "No findings.")))
            }
        }
    };
    render_section(Section::Findings, &LocalizedText::new("Главное", "Key findings"), &body)
}

fn item(finding: &Finding) -> Markup {
    let (class, mark) = match finding.severity {
        Severity::Critical => ("critical", LocalizedText::new("Важно", "Critical")),
        Severity::Warning => ("warning", LocalizedText::new("Учесть", "Warning")),
        Severity::Note => ("note", LocalizedText::new("К сведению", "Note")),
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
