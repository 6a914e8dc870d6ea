//! Missing values: alone, by source, together.

use super::parts::{Bar, Cell, bars, both, figure, heading, heat_map, paragraph, table};
use crate::figures::Figures;
use crate::figures::missing::Pattern;
use crate::plot::escape;
use crate::words::{EN, RU, Words};

pub(super) fn section(figures: &Figures) -> String {
    let title = Words::new("Пропуски", "Missing values");
    if figures.missing.columns.iter().all(|missing| missing.rows == 0) {
        let words = Words::new("Пропусков нет ни в одном столбце.", "No column has a missing value.");
        return super::section("missing", &title, &paragraph("", &words));
    }
    let body = [
        figure(&Words::new("Где чего нет", "How often each is missing"), &alone(figures), ""),
        by_source(figures),
        together(figures),
        patterns(figures),
    ];
    super::section("missing", &title, &body.concat())
}

fn alone(figures: &Figures) -> String {
    let mut columns: Vec<_> = figures.missing.columns.iter().filter(|missing| missing.rows > 0).collect();
    columns.sort_by(|a, b| b.share.total_cmp(&a.share));
    let shown: Vec<Bar> = columns
        .into_iter()
        .map(|missing| Bar {
            name: Words::each(|language| language.column(missing.column).to_owned()),
            length: missing.share,
            says: Words::each(|language| {
                format!("{} · {}", language.percent(missing.share), language.count(missing.rows))
            }),
        })
        .collect();
    bars(&shown)
}

fn by_source(figures: &Figures) -> String {
    let missing = &figures.missing;
    if missing.betrayal.is_none() {
        return String::new();
    }
    let mut heads: Vec<String> = figures
        .sources
        .iter()
        .map(|source| match &source.source {
            Some(name) => escape(name),
            None => both(&Words::new("не указан", "none")),
        })
        .collect();
    let has_others = missing.columns.iter().any(|column| column.by_source.last().is_some_and(Option::is_some));
    if has_others {
        heads.push(both(&Words::new("остальные", "others")));
    }
    heads.push(both(&Words::new("объясняет источник", "told by the source")));
    let mut columns: Vec<_> = missing.columns.iter().filter(|missing| missing.rows > 0).collect();
    columns.sort_by(|a, b| b.told_by_source.total_cmp(&a.told_by_source));
    let rows: Vec<(String, Vec<Cell>)> = columns
        .iter()
        .map(|column| {
            let shares = column.by_source.iter().take(heads.len() - 1);
            let mut cells: Vec<Cell> = shares.map(|share| percent_cell(*share)).collect();
            cells.push(Cell {
                warmth: -column.told_by_source,
                says: Words::each(|language| language.percent(column.told_by_source)),
            });
            (both(&Words::each(|language| language.column(column.column).to_owned())), cells)
        })
        .collect();
    let caption = paragraph(
        "",
        &Words::new(
            "Процент объявлений источника, в которых поля нет. Ряд из нулей и сотен — поле есть или нет по воле источника. Последний \
             столбец — коэффициент неопределённости Тейла: сколько в пропуске предопределено источником.",
            "Per cent of a source's listings that lack the field. A row of noughts and hundreds is a field that a source gives or \
             does not give. The last column is Theil's uncertainty coefficient: how much of the absence the source decides.",
        ),
    );
    heading(&Words::new("Пропуски по источникам, %", "Missing by source, %"))
        + &caption
        + &heat_map(&Words::new("", ""), &heads, &rows)
}

fn percent_cell(share: Option<f64>) -> Cell {
    let says = share.map_or_else(String::new, |share| match 100.0 * share {
        percent if percent > 0.0 && percent < 1.0 => "<1".to_owned(),
        percent if percent > 99.0 && percent < 100.0 => ">99".to_owned(),
        percent => format!("{percent:.0}"),
    });
    Cell { warmth: share.unwrap_or(0.0), says: Words::new(says.clone(), says) }
}

fn together(figures: &Figures) -> String {
    let missing = &figures.missing;
    if missing.sometimes.len() < 2 {
        return String::new();
    }
    let name = |column: &domain::Column| both(&Words::each(|language| language.column(*column).to_owned()));
    let heads: Vec<String> = missing.sometimes.iter().map(name).collect();
    let rows: Vec<(String, Vec<Cell>)> = missing
        .sometimes
        .iter()
        .zip(&missing.together)
        .map(|(column, shares)| (name(column), shares.iter().map(|share| percent_cell(Some(*share))).collect()))
        .collect();
    heading(&Words::new("Чего нет вместе, %", "What is missing together, %"))
        + &paragraph(
            "",
            &Words::new(
                "Если нет поля строки, то в скольких процентах случаев нет и поля столбца.",
                "Where the field of the row is missing, in how many per cent the field of the column is missing too.",
            ),
        )
        + &heat_map(&Words::new("", ""), &heads, &rows)
}

fn patterns(figures: &Figures) -> String {
    let missing = &figures.missing;
    let heads = [
        Words::new("Нет полей", "Missing fields"),
        Words::new("Объявлений", "Listings"),
        Words::new("Доля", "Share"),
        Words::new("Из крупнейшего источника", "From the largest source"),
    ];
    let rows: Vec<Vec<String>> = missing.patterns.iter().map(|pattern| pattern_row(figures, pattern)).collect();
    let count = missing.pattern_count as i64;
    heading(&Words::new("Самые частые наборы пропусков", "The most frequent combinations"))
        + &paragraph(
            "",
            &Words::new(
                format!("Всего разных наборов: {}.", RU.count(count)),
                format!("There are {} different combinations.", EN.count(count)),
            ),
        )
        + &table("figures", &heads, &rows)
}

fn pattern_row(figures: &Figures, pattern: &Pattern) -> Vec<String> {
    let fields = Words::each(|language| {
        if pattern.columns.is_empty() {
            return Words::new("заполнено всё", "nothing is missing").get(language).to_owned();
        }
        pattern.columns.iter().map(|column| language.column(*column)).collect::<Vec<_>>().join(", ")
    });
    vec![
        both(&fields),
        super::parts::each(|language| language.count(pattern.rows)),
        super::parts::each(|language| language.percent(figures.share(pattern.rows))),
        super::parts::each(|language| language.percent(pattern.largest_source)),
    ]
}
