//! Components of a section.

use domain::{Column, Language, capitalized};
use maud::{Markup, Render, html};

use crate::figures::Figures;
use crate::section::Section;
use crate::words::LocalizedText;

/// Renders both languages; the style sheet shows one.
impl Render for LocalizedText {
    fn render(&self) -> Markup {
        html! {
            @if self.ru == self.en {
                (self.ru)
            } @else {
                span.ru lang="ru" { (self.ru) }
                span.en lang="en" { (self.en) }
            }
        }
    }
}

/// Renders a text formatted for each language.
pub(super) fn each(write: impl Fn(Language) -> String) -> Markup {
    LocalizedText::each(write).render()
}

pub(super) fn paragraph(words: &LocalizedText) -> Markup {
    html! { p { (words) } }
}

/// The label of a column with its unit.
pub(super) fn column_title(figures: &Figures, column: Column) -> LocalizedText {
    LocalizedText::each(|language| {
        let (title, unit) = (capitalized(figures.label(language, column)), figures.unit(language, column));
        if unit.is_empty() { title } else { format!("{title}, {unit}") }
    })
}

/// A placeholder where there is nothing to show.
pub(super) fn placeholder(words: &LocalizedText) -> Markup {
    html! { p.nothing { (words) } }
}

pub(super) fn render_section(section: Section, title: &LocalizedText, body: &Markup) -> Markup {
    html! { section id=(section.id()) { h2 { (title) } (body) } "\n" }
}

/// A plot with a title and a caption.
pub(super) fn figure(title: &LocalizedText, drawn: Option<Markup>, caption: Option<Markup>) -> Markup {
    let too_few =
        || placeholder(&LocalizedText::new("Слишком мало данных для графика.", "Not enough data for a plot."));
    html! {
        figure {
            h3 { (title) }
            (drawn.unwrap_or_else(too_few))
            @if let Some(caption) = caption {
                figcaption { (caption) }
            }
        }
    }
}

/// A horizontal bar: name, length in any unit (0 to omit a bar that would dwarf the others), and label.
pub(super) struct Bar {
    pub(super) name: LocalizedText,
    pub(super) length: f64,
    pub(super) label: LocalizedText,
}

/// Horizontal bars, each labelled in full.
pub(super) fn bars(bars: &[Bar]) -> Markup {
    let longest = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    html! {
        ul.bars {
            @for bar in bars {
                li { span.name { (bar.name) } (track(100.0 * bar.length / longest)) span.label { (bar.label) } }
            }
        }
    }
}

/// A bar of a width in percent. An omitted bar has no track either, or it would look like zero.
fn track(width: f64) -> Markup {
    html! {
        @if width > 0.0 {
            svg.track viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
                rect.length width=(format!("{width:.1}")) height="1" {}
            }
        } @else {
            span.bare {}
        }
    }
}

/// A cell of a heat map: its intensity, from -1 to 1, and label.
pub(super) struct Cell {
    pub(super) intensity: f64,
    pub(super) label: LocalizedText,
}

/// A row of a heat map: its heading and cells.
pub(super) type HeatRow = (LocalizedText, Vec<Cell>);

/// A heat map with labelled cells and vertical column headings.
pub(super) fn heat_map(heads: &[LocalizedText], rows: &[HeatRow]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Таблица / Table" {
            table.heat {
                thead { tr { td {} @for head in heads { th scope="col" { span { (head) } } } } }
                tbody {
                    @for (head, cells) in rows {
                        tr { th scope="row" { (head) } @for cell in cells { (heat_cell(cell)) } }
                    }
                }
            }
        }
    }
}

/// The number of shades of a color in the style sheet.
const SHADES: f64 = 10.0;

fn heat_cell(cell: &Cell) -> Markup {
    let sign = if cell.intensity < 0.0 { "below" } else { "above" };
    // The style sheet has the shades: a page with a strict policy allows no styles of elements.
    let shade = (cell.intensity.abs().clamp(0.0, 1.0) * SHADES).round();
    html! { td class=(format!("{sign} shade-{shade}")) { (cell.label) } }
}

pub(super) fn table(class: &str, heads: &[LocalizedText], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Таблица / Table" {
            table class=(class) {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { @for cells in rows { tr { @for cell in cells { td { (cell) } } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_escaped() {
        let name = LocalizedText::new("<script>alert(1)</script>", "\"><img src=x>");
        let bar = Bar { name: name.clone(), length: 0.0, label: name.clone() };
        let cells = vec![Cell { intensity: 3.0, label: name.clone() }];
        let parts = [
            name.render(),
            bars(&[bar]),
            heat_map(std::slice::from_ref(&name), &[(name.clone(), cells)]),
            figure(&name, None, None),
        ];
        for page in parts.map(Markup::into_string) {
            assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        }
    }

    #[test]
    fn identical_texts_are_rendered_once() {
        assert_eq!(LocalizedText::new("km", "km").render().into_string(), "km");
        assert_eq!(LocalizedText::new("км", "km").render().into_string().matches("<span").count(), 2);
    }
}
