//! The figures of the report.
//!
//! Exact counts and quantiles are computed by PostgreSQL, everything else from a uniform sample of bounded size, all in
//! one snapshot. Memory does not grow with the table.

pub(crate) mod distribution;
pub(crate) mod fitness;
mod information;
pub(crate) mod market;
pub(crate) mod missing;
pub(crate) mod relations;
mod sample;

use chrono::NaiveDate;
use domain::column::Kind;
use domain::{Column, Language, Market, Task};
use serde::Serialize;
use storage::Snapshot;
use storage::profile::{MonthRows, NumberProfile, Overview, Period, Repeats, Scope, SourceRows, Suspicion};

use crate::error::Error;
use crate::words::TargetWords;
use distribution::{NUMBERS, NumberColumn, TextColumn, has_ratio_scale, histogram, is_logarithmic};
use fitness::Fitness;
use market::MarketIndex;
use missing::Missing;
use relations::{Correlations, ExplainedVariance, PriceAgainst};
use sample::{Sample, key_columns};

/// Number of sources listed separately.
const MAX_SOURCES: i64 = 30;
/// Size of the sample, in listings.
const MAX_SAMPLE: i64 = 100_000;
/// Number of frequent values shown for each column.
const MAX_TEXTS_SHOWN: i64 = 15;
const MAX_NUMBERS_SHOWN: i64 = 5;
/// With more periods the plot is crowded.
const MAX_PERIODS: i64 = 40;

/// All figures of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Whose listings these are. The price of a listing is the target of the task.
    #[serde(skip)]
    pub(crate) task: Task,
    #[serde(rename = "made_on")]
    pub(crate) created_on: NaiveDate,
    pub(crate) overview: Overview,
    pub(crate) sampled: usize,
    pub(crate) fitness: Vec<Fitness>,
    pub(crate) sources: Vec<SourceRows>,
    pub(crate) months: Vec<MonthRows>,
    pub(crate) market: Option<MarketIndex>,
    pub(crate) missing: Missing,
    pub(crate) texts: Vec<TextColumn>,
    pub(crate) numbers: Vec<NumberColumn>,
    pub(crate) prices: Vec<PriceAgainst>,
    pub(crate) explains: Vec<ExplainedVariance>,
    pub(crate) correlations: Correlations,
    pub(crate) repeats: Repeats,
    pub(crate) suspicions: Vec<Suspicion>,
}

/// A stage of the computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows by source and date, and missing values.
    Counting,
    /// The distribution of a column.
    Column(&'static str),
    /// Duplicates and contradictions.
    Comparing,
    /// The market index.
    Market,
    /// The sample.
    Sampling,
}

impl Figures {
    pub(crate) async fn compute(
        mut snapshot: Snapshot,
        task: &Task,
        today: NaiveDate,
        on_stage: &(dyn Fn(Stage) + Sync),
    ) -> Result<Self, Error> {
        on_stage(Stage::Counting);
        let overview = snapshot.overview().await?;
        if overview.rows == 0 {
            return Err(Error::NoListings);
        }
        let sources = snapshot.sources(MAX_SOURCES).await?;
        let months = snapshot.months().await?;
        let missing = Missing::of(&snapshot.absences(&sources).await?, &sources);
        on_stage(Stage::Sampling);
        let sample = Sample::new(snapshot.sample(MAX_SAMPLE).await?, &sources, task.market.clone());
        let texts = text_columns(&mut snapshot, on_stage).await?;
        let numbers = number_columns(&mut snapshot, &sample, on_stage).await?;
        on_stage(Stage::Comparing);
        let repeats = snapshot.repeats().await?;
        let suspicions = snapshot.suspicions(task.market.definition().distance).await?;
        on_stage(Stage::Market);
        let market = market::market_index(
            &snapshot.cell_levels(&Scope::default(), choose_period(&overview)).await?,
            market::MIN_PERIOD_ROWS,
        );
        Ok(Self {
            task: task.clone(),
            created_on: today,
            sampled: sample.len(),
            fitness: fitness::assess_columns(&sample, &missing, &texts, &numbers),
            prices: relations::prices_by_axis(&sample),
            explains: relations::explained_by_column(&sample),
            correlations: relations::correlations(&sample),
            overview,
            sources,
            months,
            market,
            missing,
            texts,
            numbers,
            repeats,
            suspicions,
        })
    }

    /// The unit of a column's numbers; empty if there is none.
    pub(crate) fn unit(&self, language: Language, column: Column) -> &str {
        let (ru, en) = match column {
            Column::Price => self.task.market.unit_label(self.task.target),
            column => self.task.market.unit_label(column),
        };
        language.of_both((ru, en))
    }

    /// A number of a column, in the unit of the market, with its unit.
    pub(crate) fn quantity(&self, language: Language, column: Column, number: f64) -> String {
        let (number, unit) = (format_number(language, column, number), self.unit(language, column));
        if unit.is_empty() { number } else { format!("{number}\u{a0}{unit}") }
    }

    /// The label of a column; that of the price is the target's.
    pub(crate) fn label(&self, language: Language, column: Column) -> &'static str {
        language.of_both(if column == Column::Price { self.target().name } else { column.label() })
    }

    /// What the target is called within sentences.
    pub(crate) fn target(&self) -> TargetWords {
        TargetWords::of(self.task.target)
    }

    /// A row count as a share of all listings.
    pub(crate) fn share(&self, rows: i64) -> f64 {
        rows as f64 / self.overview.rows.max(1) as f64
    }

    pub(crate) fn number(&self, column: Column) -> Option<&NumberColumn> {
        self.numbers.iter().find(|number| number.column == column)
    }

    pub(crate) fn text(&self, column: Column) -> Option<&TextColumn> {
        self.texts.iter().find(|text| text.column == column)
    }
}

async fn text_columns(snapshot: &mut Snapshot, on_stage: &(dyn Fn(Stage) + Sync)) -> Result<Vec<TextColumn>, Error> {
    let mut texts = Vec::new();
    for column in Column::descriptive().iter().filter(|column| column.kind() == Kind::Text) {
        on_stage(Stage::Column(column.name()));
        let profile = snapshot.text_profile(&key_columns(*column), MAX_TEXTS_SHOWN).await?;
        texts.push(TextColumn { column: *column, profile });
    }
    Ok(texts)
}

async fn number_columns(
    snapshot: &mut Snapshot,
    sample: &Sample,
    on_stage: &(dyn Fn(Stage) + Sync),
) -> Result<Vec<NumberColumn>, Error> {
    let mut numbers = Vec::new();
    for column in NUMBERS {
        on_stage(Stage::Column(column.name()));
        let is_logarithmic = is_logarithmic(column);
        let profile = snapshot.number_profile(column, has_ratio_scale(column), MAX_NUMBERS_SHOWN).await?;
        let profile = in_unit_of(&sample.market, column, profile);
        numbers.push(NumberColumn { column, is_logarithmic, profile, histogram: histogram(sample, column) });
    }
    Ok(numbers)
}

/// The profile of a column in the unit of the market.
fn in_unit_of(market: &Market, column: Column, mut profile: NumberProfile) -> NumberProfile {
    let NumberProfile { quantiles, fences, lowest, highest, frequent, .. } = &mut profile;
    let counted = [lowest, highest, frequent].into_iter().flatten().map(|counted| &mut counted.number);
    for number in quantiles.iter_mut().chain([&mut fences.0, &mut fences.1]).chain(counted) {
        *number = market.to_shown(column, *number);
    }
    profile
}

/// A number of a column without its unit.
fn format_number(language: Language, column: Column, number: f64) -> String {
    match column {
        Column::Year => format!("{number:.0}"),
        Column::Price => language.short(number),
        _ => language.number(number),
    }
}

/// The shortest period that keeps the plot readable.
fn choose_period(overview: &Overview) -> Period {
    match overview.months {
        months if months <= MAX_PERIODS => Period::Month,
        months if months <= 3 * MAX_PERIODS => Period::Quarter,
        _ => Period::Year,
    }
}
