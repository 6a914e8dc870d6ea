//! The data report: what there is to know of the listings before any model is trained on them.
//!
//! Exact counts and quantiles come from PostgreSQL, everything else from a uniform sample of fixed
//! size; all of it from one snapshot. Memory does not grow with the table.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "counts of listings become shares, bins and places in plots, far below 2^52"
)]

mod distribution;
mod findings;
mod fitness;
mod information;
mod market;
mod missing;
mod page;
mod plot;
mod relations;
mod sampled;
mod words;

use chrono::NaiveDate;
use domain::Column;
use domain::column::Kind;
use domain::feature::CATEGORICAL;
use serde::Serialize;
use storage::Snapshot;
use storage::exploration::{MonthRows, Overview, Period, Repeats, SourceRows, Suspicion};

use crate::Error;
use distribution::{NUMBERS, NumberColumn, TextColumn, histogram, is_logarithmic, is_ratio};
pub use findings::{Finding, Severity};
use fitness::Fitness;
use market::MarketIndex;
use missing::Missing;
use relations::{Correlations, Explains, PriceAgainst};
use sampled::Sampled;
pub use words::{Language, Words};

/// Sources that are told apart.
const SOURCES: i64 = 30;
/// Listings of the sample.
const SAMPLE: i64 = 100_000;
/// Values of a text column, and numbers of a number column, that are shown.
const VALUES: i64 = 15;
const NUMBERS_SHOWN: i64 = 5;
/// More months than these make a crowded plot.
const MOST_PERIODS: i64 = 40;

/// All figures of the data report.
#[derive(Debug, Serialize)]
pub struct Exploration {
    made_on: NaiveDate,
    overview: Overview,
    sampled: usize,
    findings: Vec<Finding>,
    fitness: Vec<Fitness>,
    sources: Vec<SourceRows>,
    months: Vec<MonthRows>,
    market: Option<MarketIndex>,
    missing: Missing,
    texts: Vec<TextColumn>,
    numbers: Vec<NumberColumn>,
    prices: Vec<PriceAgainst>,
    explains: Vec<Explains>,
    correlations: Correlations,
    repeats: Repeats,
    suspicions: Vec<Suspicion>,
}

/// How far the exploration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows by source and date, and what is missing.
    Counting,
    /// One column after the other.
    Column(&'static str),
    /// Repetitions and contradictions.
    Comparing,
    /// The market's level.
    Market,
    /// The sample.
    Sampling,
}

/// Looks at the listings as they are now.
///
/// # Errors
/// [`Error::NothingToExplore`] where there are none, or a database that does not answer.
pub async fn explore(
    mut snapshot: Snapshot,
    today: NaiveDate,
    on_stage: &(dyn Fn(Stage) + Sync),
) -> Result<Exploration, Error> {
    on_stage(Stage::Counting);
    let overview = snapshot.overview().await?;
    if overview.rows == 0 {
        return Err(Error::NothingToExplore);
    }
    let sources = snapshot.sources(SOURCES).await?;
    let months = snapshot.months().await?;
    let missing = Missing::of(&snapshot.absences(&sources).await?, &sources);
    on_stage(Stage::Sampling);
    let sample = Sampled::new(snapshot.sample(SAMPLE).await?, &sources);
    let texts = texts(&mut snapshot, on_stage).await?;
    let numbers = numbers(&mut snapshot, &sample, on_stage).await?;
    on_stage(Stage::Comparing);
    let repeats = snapshot.repeats().await?;
    let suspicions = snapshot.suspicions().await?;
    on_stage(Stage::Market);
    let market = market::market_index(&snapshot.cell_levels(period(&overview)).await?);
    let mut exploration = Exploration {
        made_on: today,
        sampled: sample.len(),
        findings: Vec::new(),
        fitness: fitness::judge(&sample, &missing, &texts, &numbers),
        prices: relations::prices_along(&sample),
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
    };
    exploration.findings = findings::find(&exploration);
    Ok(exploration)
}

impl Exploration {
    /// How many listings there are.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.overview.rows
    }

    /// What to know first, the gravest first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The report as one HTML file that needs nothing else.
    #[must_use]
    pub fn page(&self) -> String {
        page::page(self)
    }

    fn share(&self, rows: i64) -> f64 {
        rows as f64 / self.overview.rows.max(1) as f64
    }

    fn number(&self, column: Column) -> Option<&NumberColumn> {
        self.numbers.iter().find(|number| number.column == column)
    }
}

async fn texts(snapshot: &mut Snapshot, on_stage: &(dyn Fn(Stage) + Sync)) -> Result<Vec<TextColumn>, Error> {
    let mut texts = Vec::new();
    for column in Column::descriptive().iter().filter(|column| column.kind() == Kind::Text) {
        on_stage(Stage::Column(column.name()));
        let alone = [*column];
        let feature = CATEGORICAL.iter().find(|feature| feature.columns.last() == Some(column));
        let key = feature.map_or(alone.as_slice(), |feature| feature.columns);
        texts.push(TextColumn { column: *column, profile: snapshot.text_profile(key, VALUES).await? });
    }
    Ok(texts)
}

async fn numbers(
    snapshot: &mut Snapshot,
    sample: &Sampled,
    on_stage: &(dyn Fn(Stage) + Sync),
) -> Result<Vec<NumberColumn>, Error> {
    let mut numbers = Vec::new();
    for column in NUMBERS {
        on_stage(Stage::Column(column.name()));
        let is_logarithmic = is_logarithmic(column);
        let profile = snapshot.number_profile(column, is_ratio(column), NUMBERS_SHOWN).await?;
        numbers.push(NumberColumn { column, is_logarithmic, profile, histogram: histogram(sample, column) });
    }
    Ok(numbers)
}

/// Months, unless there are so many that nobody could read them.
fn period(overview: &Overview) -> Period {
    match overview.months {
        months if months <= MOST_PERIODS => Period::Month,
        months if months <= 3 * MOST_PERIODS => Period::Quarter,
        _ => Period::Year,
    }
}
