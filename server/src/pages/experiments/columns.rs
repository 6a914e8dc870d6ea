//! The columns of the table of runs, which are chosen by the parameter `column` of the address.

use std::collections::BTreeSet;

use domain::Language;
use maud::{Markup, html};
use storage::Run;

use crate::pages::parts::{Pairs, plain, status_name, time, version_link};
use crate::pages::words::{format_number, format_percent};

/// The parameter that names a column; all together are what is shown.
pub(super) const COLUMN: &str = "column";
/// What precedes the name of a setting.
const SETTING: &str = "config.";

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// One of [`FIXED`].
    Fixed(&'static str),
    /// A setting.
    Setting(String),
}

/// The columns other than settings, and whether they are shown unless others are chosen.
const FIXED: [(&str, bool); 20] = [
    ("run", true),
    ("name", true),
    ("task", true),
    ("status", true),
    ("started", true),
    ("rows", true),
    ("mape", true),
    ("validation_loss", true),
    ("version", true),
    ("tags", true),
    ("median_ape", false),
    ("coverage_80", false),
    ("train_loss", false),
    ("epoch", false),
    ("duration", false),
    ("sweep", false),
    ("parent", false),
    ("seed", false),
    ("program", false),
    ("notes", false),
];

/// The columns that an address names, or else the default ones. The number of the run is always among them.
pub(super) fn chosen_columns(pairs: &Pairs, settings: &[String]) -> Vec<Column> {
    let named: BTreeSet<&str> =
        pairs.iter().filter(|(name, _)| name == COLUMN).map(|(_, value)| value.as_str()).collect();
    let is_chosen = |column: &Column| match column {
        Column::Fixed("run") => true,
        _ if named.is_empty() => column.is_default(),
        _ => named.contains(column.name().as_str()),
    };
    let settings = settings.iter().map(|name| Column::Setting(name.clone()));
    Column::fixed().chain(settings).filter(is_chosen).collect()
}

/// The names of all settings of runs.
pub(super) fn settings_of(runs: &[Run]) -> Vec<String> {
    let names: BTreeSet<&String> =
        runs.iter().filter_map(|run| run.config.as_object()).flat_map(|config| config.keys()).collect();
    names.into_iter().cloned().collect()
}

impl Column {
    /// All columns other than settings.
    pub(super) fn fixed() -> impl Iterator<Item = Self> {
        FIXED.into_iter().map(|(name, _)| Self::Fixed(name))
    }

    pub(super) fn is_default(&self) -> bool {
        matches!(self, Self::Fixed(name) if FIXED.iter().any(|(other, is_default)| other == name && *is_default))
    }

    /// Its name in addresses.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Fixed(name) => (*name).to_owned(),
            Self::Setting(name) => format!("{SETTING}{name}"),
        }
    }

    /// What to sort by, if runs can be sorted by the column.
    pub(super) fn sort(&self) -> Option<&'static str> {
        match self {
            Self::Fixed(name) => storage::RunSort::named(name).map(|_| *name),
            Self::Setting(_) => None,
        }
    }

    pub(super) fn is_text(&self) -> bool {
        let texts = ["name", "task", "status", "started", "tags", "sweep", "program", "notes"];
        matches!(self, Self::Fixed(name) if texts.contains(name))
    }

    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Fixed("name" | "notes") => "text name",
            column if column.is_text() => "text",
            _ => "",
        }
    }

    pub(super) fn label(&self, language: Language) -> String {
        let Self::Fixed(name) = self else { return self.name()[SETTING.len()..].to_owned() };
        let label = match *name {
            "run" => language.of_both(("№", "No.")),
            "name" => language.of_both(("Название", "Name")),
            "task" => language.of_both(("Задача", "Task")),
            "status" => language.of_both(("Состояние", "Status")),
            "started" => language.of_both(("Начало, UTC", "Started, UTC")),
            "rows" => language.of_both(("Объявлений", "Listings")),
            "mape" => "MAPE",
            "validation_loss" => language.of_both(("Потери", "Val. loss")),
            "version" => language.of_both(("Версия", "Version")),
            "tags" => language.of_both(("Метки", "Tags")),
            "median_ape" => language.of_both(("Медиана ошибки", "Median APE")),
            "coverage_80" => language.of_both(("Накрытие 80 %", "80 % coverage")),
            "train_loss" => language.of_both(("Потери на обучении", "Train. loss")),
            "epoch" => language.of_both(("Лучшая эпоха", "Best epoch")),
            "duration" => language.of_both(("Длился", "Duration")),
            "sweep" => language.of_both(("Поиск настроек", "Sweep")),
            "parent" => language.of_both(("Родитель", "Derived from")),
            "seed" => language.of_both(("Начальное число", "Seed")),
            "program" => language.of_both(("Программа", "Program")),
            _ => language.of_both(("Заметки", "Notes")),
        };
        label.to_owned()
    }

    /// What the column shows of a run.
    pub(super) fn value(&self, run: &Run, language: Language) -> Markup {
        let metric = |name: &str| run.metrics[name].as_f64();
        let name = match self {
            Self::Setting(name) => return html! { @if let Some(value) = run.config.get(name) { (plain(value)) } },
            Self::Fixed(name) => *name,
        };
        match name {
            "run" => html! { a href=(format!("/experiments/{}", run.id)) { (run.id) } },
            "name" => html! { (run.name.as_deref().unwrap_or_default()) },
            "task" => html! { (run.task) },
            "status" => html! { (status_name(run.status, language)) },
            "started" => html! { (time(run.started_at)) },
            "rows" => html! { @if let Some(rows) = run.rows { (language.count(rows.train)) } },
            "mape" | "median_ape" | "coverage_80" => {
                html! { @if let Some(share) = metric(name) { (format_percent(language, share)) } }
            }
            "validation_loss" | "train_loss" => {
                html! { @if let Some(loss) = metric(name) { (format_number(language, loss)) } }
            }
            "epoch" => html! { @if let Some(epoch) = run.metrics["epoch"].as_u64() { (epoch) } },
            "version" => html! { @if let Some(version) = run.model_version { (version_link(version)) } },
            "tags" => html! { @for tag in &run.tags { span.tag { (tag) } } },
            "duration" => {
                html! { @if let Some(end) = run.finished_at { (duration((end - run.started_at).num_seconds())) } }
            }
            "sweep" => html! {
                @if let Some(sweep) = &run.sweep { a href=(format!("/experiments/sweeps/{sweep}")) { (sweep) } }
            },
            "parent" => html! {
                @if let Some(parent) = run.parent { a href=(format!("/experiments/{parent}")) { (parent) } }
            },
            "seed" => html! { (run.seed) },
            "program" => html! { (run.program.as_deref().unwrap_or_default()) },
            _ => html! { (run.notes.as_deref().unwrap_or_default()) },
        }
    }
}

/// Hours, minutes and seconds.
fn duration(seconds: i64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_the_columns() {
        let settings = ["dropout".to_owned(), "k".to_owned()];
        let chosen = |names: &[&str]| {
            let pairs = names.iter().map(|name| (COLUMN.to_owned(), (*name).to_owned())).collect();
            chosen_columns(&pairs, &settings).iter().map(Column::name).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[]).len(), 10);
        assert_eq!(chosen(&["config.k", "mape", "nonsense"]), ["run", "mape", "config.k"]);
    }

    #[test]
    fn durations_have_hours() {
        assert_eq!(duration(3 * 3600 + 125), "3:02:05");
    }
}
