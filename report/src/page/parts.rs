//! What sections are put together from.

use crate::plot::escape;
use crate::words::{Language, Words};

/// A text in both languages, of which the page shows one.
pub(super) fn both(words: &Words) -> String {
    if words.ru == words.en {
        return escape(&words.ru);
    }
    format!(
        "<span class=\"ru\" lang=\"ru\">{}</span><span class=\"en\" lang=\"en\">{}</span>",
        escape(&words.ru),
        escape(&words.en)
    )
}

/// A text that each language writes its way.
pub(super) fn each(write: impl Fn(Language) -> String) -> String {
    both(&Words::each(write))
}

pub(super) fn paragraph(class: &str, words: &Words) -> String {
    format!("<p class=\"{class}\">{}</p>", both(words))
}

pub(super) fn section(id: &str, title: &Words, body: &str) -> String {
    format!("<section id=\"{id}\"><h2>{}</h2>{body}</section>\n", both(title))
}

pub(super) fn heading(words: &Words) -> String {
    format!("<h3>{}</h3>", both(words))
}

/// The HTML of several things, one after the other.
pub(super) fn joined<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    items.iter().map(write).collect::<Vec<_>>().concat()
}

/// A plot with its title and a sentence below it.
pub(super) fn figure(title: &Words, drawn: &str, caption: &str) -> String {
    let drawn = if drawn.is_empty() {
        paragraph("nothing", &Words::new("Слишком мало данных для графика.", "Too few data for a plot."))
    } else {
        drawn.to_owned()
    };
    let caption = if caption.is_empty() { String::new() } else { format!("<figcaption>{caption}</figcaption>") };
    format!("<figure><h3>{}</h3>{drawn}{caption}</figure>", both(title))
}

/// A horizontal bar: its name, its length in any unit (0 for none, where it would dwarf the others),
/// and what it says.
pub(super) struct Bar {
    pub(super) name: Words,
    pub(super) length: f64,
    pub(super) says: Words,
}

/// Horizontal bars, each labelled in full.
pub(super) fn bars(bars: &[Bar]) -> String {
    let longest = bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    let one = |bar: &Bar| {
        // Without a length there is no room for one either: it would be taken for nothing.
        let drawn = match 100.0 * bar.length / longest {
            width if width > 0.0 => format!("<span class=\"track\"><i style=\"width:{width:.1}%\"></i></span>"),
            _ => "<span class=\"bare\"></span>".to_owned(),
        };
        format!(
            "<li><span class=\"name\">{}</span>{drawn}<span class=\"says\">{}</span></li>",
            both(&bar.name),
            both(&bar.says)
        )
    };
    format!("<ul class=\"bars\">{}</ul>", joined(bars, one))
}

/// A cell of a heat map: how warm it is, from -1 to 1, and what it says.
pub(super) struct Cell {
    pub(super) warmth: f64,
    pub(super) says: Words,
}

/// A heat map with what each cell says written into it. Column heads are written upwards.
pub(super) fn heat_map(corner: &Words, heads: &[String], rows: &[(String, Vec<Cell>)]) -> String {
    let heads = joined(heads, |head| format!("<th scope=\"col\"><span>{head}</span></th>"));
    let row = |(head, cells): &(String, Vec<Cell>)| {
        let cells = joined(cells, cell);
        format!("<tr><th scope=\"row\">{head}</th>{cells}</tr>")
    };
    format!(
        "<div class=\"wide\"><table class=\"heat\"><thead><tr><td>{}</td>{heads}</tr></thead><tbody>{}</tbody></table></div>",
        both(corner),
        joined(rows, row)
    )
}

fn cell(cell: &Cell) -> String {
    let hue = if cell.warmth < 0.0 { "33, 113, 181" } else { "200, 80, 30" };
    let strength = cell.warmth.abs().clamp(0.0, 1.0);
    // White ink where the ground is dark.
    let ink = if strength > 0.72 { ";color:#fff" } else { "" };
    format!("<td style=\"background:rgba({hue}, {strength:.2}){ink}\">{}</td>", both(&cell.says))
}

/// A table; cells are HTML.
pub(super) fn table(class: &str, heads: &[Words], rows: &[Vec<String>]) -> String {
    let heads = joined(heads, |head| format!("<th scope=\"col\">{}</th>", both(head)));
    let row = |cells: &Vec<String>| format!("<tr>{}</tr>", joined(cells, |cell| format!("<td>{cell}</td>")));
    format!(
        "<div class=\"wide\"><table class=\"{class}\"><thead><tr>{heads}</tr></thead><tbody>{}</tbody></table></div>",
        joined(rows, row)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_break_out_of_a_page() {
        let name = Words::new("<script>alert(1)</script>", "\"><img src=x>");
        let bar = Bar { name: name.clone(), length: 0.0, says: name.clone() };
        let cells = vec![Cell { warmth: f64::from(3), says: name.clone() }];
        for page in [both(&name), bars(&[bar]), heat_map(&name, &[], &[(String::new(), cells)]), figure(&name, "", "")]
        {
            assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        }
    }

    #[test]
    fn a_text_that_is_the_same_in_both_languages_stands_once() {
        assert_eq!(both(&Words::new("km", "km")), "km");
        assert_eq!(both(&Words::new("км", "km")).matches("<span").count(), 2);
    }
}
