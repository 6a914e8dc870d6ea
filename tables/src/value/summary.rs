//! The sheet with the summary of a valued table.

use domain::Language;
use domain::quantile;
use quick_xml::escape::escape;

use super::outcome::RowOutcome;
use super::presentation::Presentation;
use super::splice::text_cell;
use crate::header::Header;

/// The figures of a valued table.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) rows: u64,
    /// The prices, in any order.
    pub(super) prices: Vec<f64>,
    /// The sum of the listed prices of valued rows, and of the prices of these rows.
    pub(super) listed: Option<[f64; 2]>,
}

impl Figures {
    pub(super) fn add(&mut self, outcome: &RowOutcome) {
        self.rows += 1;
        let Some([price, ..]) = outcome.prices else { return };
        self.prices.push(price);
        if let Some(listed) = outcome.listed {
            let sums = self.listed.get_or_insert([0.0; 2]);
            *sums = [sums[0] + listed, sums[1] + price];
        }
    }
}

/// A cell of the summary.
enum Cell<'t> {
    Text(&'t str),
    Number(f64),
}

/// The name of the sheet.
pub(super) fn name(language: Language) -> &'static str {
    language.of_both(("Итоги оценки", "Valuation summary"))
}

/// The XML of the sheet; `money` is the index of the format of amounts.
pub(super) fn sheet(
    figures: &Figures,
    header: &Header,
    presentation: &Presentation,
    (namespace, language, money): (&str, Language, Option<u32>),
) -> String {
    let label = |russian: &'static str, english: &'static str| language.of_both((russian, english)).to_owned();
    let with_unit = |text: String| match presentation.unit.as_str() {
        "" => text,
        unit => format!("{text}, {unit}"),
    };
    let mut prices = figures.prices.clone();
    prices.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    let count = |rows: u64| Cell::Number(rows as f64);
    let valued = prices.len() as u64;
    let mut rows = vec![
        (label("Модель", "Model"), Cell::Text(&presentation.model), None),
        (label("Строк", "Rows"), count(figures.rows), None),
        (label("Оценено", "Valued"), count(valued), None),
        (
            label("Не оценено (почему, сказано в строке)", "Not valued (the row says why)"),
            count(figures.rows - valued),
            None,
        ),
        (with_unit(label("Сумма оценок", "Sum of the estimates")), Cell::Number(prices.iter().sum()), money),
    ];
    if let Some(median) = quantile::median(&prices) {
        rows.push((with_unit(label("Медиана оценок", "Median estimate")), Cell::Number(median), money));
    }
    if let Some([listed, estimated]) = figures.listed {
        rows.push((
            with_unit(label("Сумма цен оцененных строк", "Sum of the prices of valued rows")),
            Cell::Number(listed),
            money,
        ));
        let title = with_unit(label("Сумма цен минус сумма оценок", "Prices minus estimates"));
        rows.push((title, Cell::Number(listed - estimated), money));
    }
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<worksheet xmlns=\"{}\">",
        escape(namespace)
    );
    xml += "<cols><col min=\"1\" max=\"1\" width=\"46\" customWidth=\"1\"/><col min=\"2\" max=\"2\" width=\"30\" customWidth=\"1\"/></cols>";
    xml += "<sheetData>";
    let mut number = 0;
    let mut write = |label: &str, cell: Cell<'_>, format: Option<u32>| {
        number += 1;
        let style = format.map_or(String::new(), |format| format!(" s=\"{format}\""));
        let value = match cell {
            Cell::Number(value) => format!("<c r=\"B{number}\"{style}><v>{value}</v></c>"),
            Cell::Text(text) => text_cell("", &format!("B{number}"), "", text),
        };
        let label = text_cell("", &format!("A{number}"), "", label);
        xml.extend(format!("<row r=\"{number}\">{label}{value}</row>").chars());
    };
    for (label, cell, format) in rows {
        write(&label, cell, format);
    }
    write("", Cell::Text(""), None);
    write(&label("Столбец файла", "Column of the file"), Cell::Text(&label("Понят как", "Understood as")), None);
    for (column, index) in
        header.columns().flat_map(|(column, indices)| indices.iter().map(move |index| (column, index)))
    {
        write(header.headers[*index].trim(), Cell::Text(language.of_both(column.label())), None);
    }
    for unused in header.unrecognized() {
        write(unused.trim(), Cell::Text(&label("не использован", "not used")), None);
    }
    xml += "</sheetData></worksheet>";
    xml
}
