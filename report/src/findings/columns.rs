//! Findings about columns.

use domain::Column;

use super::finding::{Finding, Severity, column_name, finding, join_list};
use crate::figures::Figures;
use crate::figures::fitness::Fault;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

/// The columns with a fault, each with the value that `pick` extracts.
fn columns_with<T>(figures: &Figures, pick: impl Fn(&Fault) -> Option<T>) -> Vec<(Column, T)> {
    let columns = figures.fitness.iter();
    columns.flat_map(|fitness| fitness.faults.iter().filter_map(&pick).map(|found| (fitness.column, found))).collect()
}

/// The columns, each with its share.
fn list_shares(columns: &[(Column, f64)]) -> LocalizedText {
    LocalizedText::each(|language| {
        let shares = columns.iter().map(|(column, share)| (column_name(language, *column), language.percent(*share)));
        join_list(shares.map(|(name, share)| format!("{name} {share}")))
    })
}

pub(super) fn absent_columns(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| matches!(fault, Fault::Absent).then_some(()));
    if columns.is_empty() {
        return None;
    }
    let names =
        LocalizedText::each(|language| join_list(columns.iter().map(|(column, ())| column_name(language, *column))));
    Some(finding(
        Severity::Warning,
        Section::Missing,
        LocalizedText::new(
            format!("Ни в одном объявлении не заполнено: {}.", names.ru),
            format!("No listing has a value in: {}.", names.en),
        ),
        LocalizedText::new(
            "Модель ничему по этим столбцам не научится. Проверьте, как названы столбцы в исходном файле.",
            "The model cannot learn from them. Check the column names in the source file.",
        ),
    ))
}

pub(super) fn constant_columns(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| matches!(fault, Fault::Constant).then_some(()));
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, ())| match only_value(figures, *column) {
            Some(value) => format!("{} = «{value}»", column_name(language, *column)),
            None => column_name(language, *column),
        }))
    });
    Some(finding(
        Severity::Critical,
        Section::Columns,
        LocalizedText::new(
            format!("Постоянный столбец: {} — во всех заполненных объявлениях (100\u{a0}%).", listed.ru),
            format!("Constant column: {} in every listing that has a value (100\u{a0}%).", listed.en),
        ),
        LocalizedText::new(
            "Модели он ничего не говорит; только его отсутствие может выдать источник. Исключите его или скрывайте при обучении.",
            "It carries no information; only its absence can reveal the source. Drop it or mask it in training.",
        ),
    ))
}

fn only_value(figures: &Figures, column: Column) -> Option<String> {
    let text = figures.text(column);
    let text = text.and_then(|text| text.profile.top.first()).map(|value| value.value.clone());
    text.or_else(|| {
        figures.number(column)?.profile.frequent.first().map(|counted| figures.quantity(RU, column, counted.number))
    })
}

pub(super) fn absence_leaks(figures: &Figures) -> Option<Finding> {
    let source_leak = figures.missing.source_leak?;
    let mut columns = columns_with(figures, |fault| match fault {
        Fault::AbsenceLeaksSource { uncertainty } => Some(*uncertainty),
        _ => None,
    });
    columns.sort_by(|a, b| b.1.total_cmp(&a.1));
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, share)| format!("{} {}", column.name(), language.percent(*share))))
    });
    let example = example(figures, columns[0].0);
    let text = LocalizedText::each(|language| {
        let (accuracy, baseline) = (language.percent(source_leak.accuracy), language.percent(source_leak.baseline));
        if language == RU {
            format!(
                "Отсутствие полей выдаёт источник: по одному лишь набору пустых полей источник угадывается в {accuracy} \
                 объявлений (наугад — {baseline}). Насколько источник предопределяет пропуск: {}.",
                listed.ru
            )
        } else {
            format!(
                "Missing fields reveal the source: it can be guessed from the set of empty fields for {accuracy} of the \
                 listings (blind guess: {baseline}). How strongly absence depends on the source: {}.",
                listed.en
            )
        }
    });
    Some(finding(
        Severity::Critical,
        Section::Missing,
        text.then(&example),
        LocalizedText::new(
            "Скрывайте при обучении известные поля случайно, иначе модель примет незаполненную форму за другой год и другой рынок.",
            "Mask known fields at random in training, or the model will mistake an incomplete form for another year or market.",
        ),
    ))
}

/// The sources in which a column is missing most and least often.
fn example(figures: &Figures, column: Column) -> LocalizedText {
    let shares = figures.missing.column(column).map(|missing| missing.by_source.clone()).unwrap_or_default();
    let sources = figures.sources.iter().zip(&shares);
    let named: Vec<_> = sources.filter_map(|(source, share)| Some((source.source.as_deref()?, (*share)?))).collect();
    let highest = named.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let lowest = named.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let (Some(highest), Some(lowest)) = (highest, lowest) else { return LocalizedText::new("", "") };
    LocalizedText::new(
        format!(
            " Пример: {} нет в {} объявлений из {} и в {} из {}.",
            column.name(),
            RU.percent(highest.1),
            highest.0,
            RU.percent(lowest.1),
            lowest.0
        ),
        format!(
            " For example, {} is missing in {} of the listings from {} and in {} of those from {}.",
            column.name(),
            EN.percent(highest.1),
            highest.0,
            EN.percent(lowest.1),
            lowest.0
        ),
    )
}

pub(super) fn value_leaks(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| match fault {
        Fault::ValueLeaksSource { information } => Some(*information),
        _ => None,
    });
    if columns.is_empty() {
        return None;
    }
    let listed = list_shares(&columns);
    Some(finding(
        Severity::Warning,
        Section::Columns,
        LocalizedText::new(
            format!("Значение выдаёт источник (нормированная взаимная информация): {}.", listed.ru),
            format!("Values reveal the source (normalized mutual information): {}.", listed.en),
        ),
        LocalizedText::new(
            "Проверьте, не пишут ли источники одно и то же разными словами и не охватывает ли каждый свой регион или свои дни.",
            "Check whether the sources spell the same values differently, or each covers its own region or dates.",
        ),
    ))
}

pub(super) fn source_specific_values(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| match fault {
        Fault::SourceSpecificValues { share } => Some(*share),
        _ => None,
    });
    if columns.is_empty() {
        return None;
    }
    let listed = list_shares(&columns);
    Some(finding(
        Severity::Warning,
        Section::Texts,
        LocalizedText::new(
            format!(
                "Источники пишут по-разному: доля значений, которые встречаются только у одного источника, — {}.",
                listed.ru
            ),
            format!(
                "Sources spell values differently: share of known values that occur in one source only: {}.",
                listed.en
            ),
        ),
        LocalizedText::new(
            "Приведите написание к единому виду (синонимы), иначе модель учит одно и то же дважды и заодно узнаёт источник.",
            "Unify the spelling (synonyms), or the model learns the same value twice, and the source with it.",
        ),
    ))
}

pub(super) fn nearly_constant_columns(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| match fault {
        Fault::NearlyConstant { largest } => Some(*largest),
        _ => None,
    });
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, largest)| {
            let value = only_value(figures, *column).unwrap_or_default();
            format!("{} — «{value}» {}", column_name(language, *column), language.percent(*largest))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Columns,
        LocalizedText::new(
            format!("Почти постоянные столбцы: {} заполненных.", listed.ru),
            format!("Nearly constant columns: {} of the known values.", listed.en),
        ),
        LocalizedText::new(
            format!(
                "Редкое значение может многое значить для {}, но учиться ему почти не на чем: смотрите на ошибку в этом срезе отдельно.",
                figures.target().of.0
            ),
            format!(
                "The rare values may affect the {}, but there are few examples to learn from: check the error on that segment separately.",
                figures.target().of.1
            ),
        ),
    ))
}

pub(super) fn drifting_columns(figures: &Figures) -> Option<Finding> {
    let mut columns = columns_with(figures, |fault| match fault {
        Fault::Drifts { index } => Some(*index),
        _ => None,
    });
    columns.sort_by(|a, b| b.1.total_cmp(&a.1));
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, index)| format!("{} {}", column.name(), language.decimal(*index, 2))))
    });
    Some(finding(
        Severity::Warning,
        Section::Columns,
        LocalizedText::new(
            format!(
                "Состав объявлений меняется: новейшая треть отличается от старейшей (PSI больше 0,25 — значимый сдвиг): {}.",
                listed.ru
            ),
            format!(
                "The listings drift: the newest third differs from the oldest (PSI above 0.25 is a significant shift): {}.",
                listed.en
            ),
        ),
        LocalizedText::new(
            "Проверяйте точность на новейших объявлениях отдельно: случайная выборка её завышает.",
            "Measure accuracy on the newest listings separately: a random split overestimates it.",
        ),
    ))
}

pub(super) fn mostly_missing_columns(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| matches!(fault, Fault::MostlyMissing).then_some(()));
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, ())| {
            let share = figures.missing.column(*column).map_or(0.0, |missing| missing.share);
            format!("{} {}", column_name(language, *column), language.percent(share))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Missing,
        LocalizedText::new(
            format!("Чаще пусто, чем заполнено: {}.", listed.ru),
            format!("Missing in more than half of the listings: {}.", listed.en),
        ),
        LocalizedText::new(
            "Модель должна работать и без них: держите «неизвестно» отдельным значением и учите на обоих случаях.",
            "The model must work without them: keep “unknown” as a separate value and train on both cases.",
        ),
    ))
}

pub(super) fn long_tails(figures: &Figures) -> Option<Finding> {
    let columns = columns_with(figures, |fault| match fault {
        Fault::LongTail { values, share } => Some((*values, *share)),
        _ => None,
    });
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|(column, (values, share))| {
            let (values, share) = (language.count(*values), language.percent(*share));
            if language == RU {
                format!("{} — {values} значений ({share} объявлений)", column_name(language, *column))
            } else {
                format!("{}: {values} values ({share} of the listings)", column_name(language, *column))
            }
        }))
    });
    Some(finding(
        Severity::Note,
        Section::Texts,
        LocalizedText::new(
            format!("Длинный хвост значений, у каждого из которых меньше 10 объявлений: {}.", listed.ru),
            format!("A long tail of values with fewer than 10 listings each: {}.", listed.en),
        ),
        LocalizedText::new(
            "Редким значениям нужна общая оценка: «неизвестная модель» известной марки, объём и мощность.",
            "Rare values need a fallback: an “unknown model” of a known make, engine volume and power.",
        ),
    ))
}
