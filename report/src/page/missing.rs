//! Missing values: by column, by source, and in combination.

use domain::Column;
use maud::{Markup, html};

use super::parts::{Bar, Cell, HeatRow, bars, each, figure, heat_map, paragraph, render_section, table};
use crate::figures::Figures;
use crate::figures::missing::Pattern;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let title = LocalizedText::new("Пропуски", "Missing values");
    if figures.missing.columns.iter().all(|missing| missing.rows == 0) {
        let words = LocalizedText::new("Пропусков нет ни в одном столбце.", "No column has missing values.");
        return render_section(Section::Missing, &title, &paragraph(&words));
    }
    let body = html! {
        (figure(&LocalizedText::new("Доля пропусков по столбцам", "Missing by column"), Some(by_column(figures)), None))
        @if figures.missing.source_leak.is_some() {
            (by_source(figures))
        }
        @if figures.missing.partial.len() > 1 {
            (together(figures))
        }
        (patterns(figures))
    };
    render_section(Section::Missing, &title, &body)
}

fn by_column(figures: &Figures) -> Markup {
    let mut columns: Vec<_> = figures.missing.columns.iter().filter(|missing| missing.rows > 0).collect();
    columns.sort_by(|a, b| b.share.total_cmp(&a.share));
    let shown: Vec<Bar> = columns
        .into_iter()
        .map(|missing| Bar {
            name: column_name(missing.column),
            length: missing.share,
            label: LocalizedText::each(|language| {
                format!("{} · {}", language.percent(missing.share), language.count(missing.rows))
            }),
        })
        .collect();
    bars(&shown)
}

fn column_name(column: Column) -> LocalizedText {
    LocalizedText::each(|language| language.of_both(column.label()).to_owned())
}

fn by_source(figures: &Figures) -> Markup {
    let missing = &figures.missing;
    let mut heads: Vec<LocalizedText> = figures
        .sources
        .iter()
        .map(|source| match &source.source {
            Some(name) => LocalizedText::same(name),
            None => LocalizedText::new("не указан", "none"),
        })
        .collect();
    let has_others = missing.columns.iter().any(|column| column.by_source.last().is_some_and(Option::is_some));
    if has_others {
        heads.push(LocalizedText::new("остальные", "others"));
    }
    heads.push(LocalizedText::new("объясняет источник", "explained by source"));
    let mut columns: Vec<_> = missing.columns.iter().filter(|missing| missing.rows > 0).collect();
    columns.sort_by(|a, b| b.uncertainty_by_source.total_cmp(&a.uncertainty_by_source));
    let rows: Vec<HeatRow> = columns
        .iter()
        .map(|column| {
            let shares = column.by_source.iter().take(heads.len() - 1);
            let mut cells: Vec<Cell> = shares.map(|share| percent_cell(*share)).collect();
            cells.push(Cell {
                intensity: -column.uncertainty_by_source,
                label: LocalizedText::each(|language| language.percent(column.uncertainty_by_source)),
            });
            (column_name(column.column), cells)
        })
        .collect();
    let caption = LocalizedText::new(
        "Процент объявлений источника, в которых поля нет. Ряд из нулей и сотен — источник либо всегда заполняет поле, либо никогда. Последний \
         столбец — коэффициент неопределённости Тейла: сколько в пропуске предопределено источником.",
        "Percentage of a source's listings without the field. In a row of zeros and hundreds, each source either always or \
         never provides the field. The last column is Theil's uncertainty coefficient: how much of the absence the source \
         explains.",
    );
    html! {
        h3 { (LocalizedText::new("Пропуски по источникам, %", "Missing by source, %")) }
        (paragraph(&caption))
        (heat_map(&heads, &rows))
    }
}

fn percent_cell(share: Option<f64>) -> Cell {
    let label = share.map_or_else(String::new, |share| match 100.0 * share {
        percent if percent > 0.0 && percent < 1.0 => "<1".to_owned(),
        percent if percent > 99.0 && percent < 100.0 => ">99".to_owned(),
        percent => format!("{percent:.0}"),
    });
    Cell { intensity: share.unwrap_or(0.0), label: LocalizedText::same(label) }
}

fn together(figures: &Figures) -> Markup {
    let missing = &figures.missing;
    let heads: Vec<LocalizedText> = missing.partial.iter().map(|column| column_name(*column)).collect();
    let cells = missing.together.iter().map(|shares| shares.iter().map(|share| percent_cell(Some(*share))).collect());
    let rows: Vec<HeatRow> = heads.iter().cloned().zip(cells).collect();
    let caption = LocalizedText::new(
        "Если нет поля строки, то в скольких процентах случаев нет и поля столбца.",
        "Among the listings without the field of the row, the percentage without the field of the column.",
    );
    html! {
        h3 { (LocalizedText::new("Чего нет вместе, %", "Missing together, %")) }
        (paragraph(&caption))
        (heat_map(&heads, &rows))
    }
}

fn patterns(figures: &Figures) -> Markup {
    let missing = &figures.missing;
    let heads = [
        LocalizedText::new("Нет полей", "Missing fields"),
        LocalizedText::new("Объявлений", "Listings"),
        LocalizedText::new("Доля", "Share"),
        LocalizedText::new("Из крупнейшего источника", "From the largest source"),
    ];
    let rows: Vec<Vec<Markup>> = missing.patterns.iter().map(|pattern| pattern_row(figures, pattern)).collect();
    let count = missing.pattern_count as i64;
    let caption = LocalizedText::new(
        format!("Всего разных наборов: {}.", RU.count(count)),
        format!("Combinations in total: {}.", EN.count(count)),
    );
    html! {
        h3 { (LocalizedText::new("Самые частые наборы пропусков", "Most frequent combinations")) }
        (paragraph(&caption))
        (table("figures", &heads, &rows))
    }
}

fn pattern_row(figures: &Figures, pattern: &Pattern) -> Vec<Markup> {
    let fields = each(|language| {
        if pattern.columns.is_empty() {
            return LocalizedText::new("заполнено всё", "nothing is missing").get(language).to_owned();
        }
        pattern.columns.iter().map(|column| language.of_both(column.label())).collect::<Vec<_>>().join(", ")
    });
    vec![
        fields,
        each(|language| language.count(pattern.rows)),
        each(|language| language.percent(figures.share(pattern.rows))),
        each(|language| language.percent(pattern.largest_source)),
    ]
}
