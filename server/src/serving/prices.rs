//! The prices of a market, of a make or of a model, computed once for as long as no listings are added.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Task;
use report::{MarketPoint, market_index};
use storage::profile::{AgePrices, CellLevel, NamedPrices, Period, PeriodPrices, Scope, ScopeOverview};
use storage::{Database, Snapshot};
use tokio::sync::{Mutex, Semaphore};

use crate::http::problem::Problem;

/// The time limit of a statement.
const STATEMENT_TIMEOUT_MS: u32 = 10_000;
/// The time limit of all statements, with the time until their turn comes.
const TIMEOUT: Duration = Duration::from_secs(25);
/// How many callers compute at a time.
const MAX_COMPUTATIONS: usize = 2;
/// How many makes and models are kept. When there are more, all are forgotten.
const MAX_KEPT: usize = 500;
/// The maximum number of makes or models.
const MAX_NAMES: i64 = 500;
/// With more periods a chart is crowded.
const MAX_PERIODS: usize = 40;
/// With fewer comparable listings a period has no price level: in the market, and in a make or model.
const MIN_PERIOD_ROWS: (i64, i64) = (30, 5);

/// The prices by task and scope.
#[derive(Debug)]
pub(crate) struct Prices {
    kept: Mutex<HashMap<(String, Scope), Kept>>,
    turns: Semaphore,
}

/// Prices, and when the newest listings behind them were added.
type Kept = (Option<DateTime<Utc>>, Arc<ScopePrices>);

/// The prices of a scope.
#[derive(Debug)]
pub(crate) struct ScopePrices {
    pub(crate) overview: ScopeOverview,
    /// The prices by period, with the level relative to the first one that has a level.
    pub(crate) periods: Vec<(PeriodPrices, Option<f64>)>,
    pub(crate) ages: Vec<AgePrices>,
    /// The makes of the market or the models of the make.
    pub(crate) names: Vec<NamedPrices>,
}

impl Default for Prices {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(MAX_COMPUTATIONS) }
    }
}

impl Prices {
    /// The prices of a scope of a task, whose listings are in this database; `None` without listings.
    pub(crate) async fn of(
        &self,
        database: &Database,
        task: &Task,
        scope: &Scope,
    ) -> Result<Option<Arc<ScopePrices>>, Problem> {
        let work = async {
            let added = database.listings().last_added().await?;
            let key = (task.name.clone(), scope.clone());
            if let Some(prices) = self.kept_since(&key, added).await {
                return Ok(prices);
            }
            // Never closed.
            let _turn = self.turns.acquire().await;
            // Others may have computed it meanwhile.
            if let Some(prices) = self.kept_since(&key, added).await {
                return Ok(prices);
            }
            let prices = Arc::new(ScopePrices::compute(database, task, scope).await?);
            // What does not exist is not kept, or names could be made up to push others out.
            if prices.overview.rows > 0 {
                let mut kept = self.kept.lock().await;
                if kept.len() >= MAX_KEPT {
                    kept.clear();
                }
                kept.insert(key, (added, Arc::clone(&prices)));
            }
            Ok::<_, storage::Error>(prices)
        };
        let prices = in_time(work).await?;
        Ok(Some(prices).filter(|prices| prices.overview.rows > 0))
    }

    async fn kept_since(&self, key: &(String, Scope), added: Option<DateTime<Utc>>) -> Option<Arc<ScopePrices>> {
        let kept = self.kept.lock().await;
        kept.get(key).filter(|(since, _)| *since == added).map(|(_, prices)| Arc::clone(prices))
    }
}

/// The result of statements; a database that is slow is as good as unavailable.
pub(crate) async fn in_time<T>(work: impl Future<Output = storage::Result<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(TIMEOUT, work).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) if error.is_timeout() => {
            tracing::warn!(%error, "The prices of a market took too long.");
            Err(Problem::DatabaseAway)
        }
        Ok(Err(error)) => Err(Problem::from_storage(&error)),
        Err(_) => Err(Problem::DatabaseAway),
    }
}

/// A snapshot of the listings of a task whose statements are limited.
pub(crate) async fn snapshot(database: &Database, task: &Task) -> storage::Result<Snapshot> {
    let mut snapshot = Snapshot::begin_for_report(database, task).await?;
    snapshot.limit_statements(STATEMENT_TIMEOUT_MS).await?;
    Ok(snapshot)
}

impl ScopePrices {
    async fn compute(database: &Database, task: &Task, scope: &Scope) -> storage::Result<Self> {
        let mut snapshot = snapshot(database, task).await?;
        let overview = snapshot.scope_overview(scope).await?;
        let names = snapshot.scope_names(scope, MAX_NAMES).await?;
        let mut prices = Self { overview, periods: Vec::new(), ages: Vec::new(), names };
        let Some(last_day) = prices.overview.last_day else { return Ok(prices) };
        prices.ages = snapshot.scope_ages(scope, last_day).await?;
        let (in_market, in_part) = MIN_PERIOD_ROWS;
        let min_rows = if scope.brand.is_none() { in_market } else { in_part };
        let period = choose_period(&prices.overview, min_rows);
        let levels = snapshot.cell_levels(scope, period).await?;
        let points = index_points(levels, min_rows).await;
        let level = |period| points.iter().find(|point| point.period == period).map(|point| point.level);
        let periods = snapshot.scope_periods(scope, period).await?;
        let with_level = |prices: PeriodPrices| {
            let level = level(prices.period);
            (prices, level)
        };
        prices.periods = periods.into_iter().map(with_level).collect();
        Ok(prices)
    }
}

/// The price levels, fitted on a thread of its own: of a large market that takes long. None if it fails, which it does not.
async fn index_points(levels: Vec<CellLevel>, min_rows: i64) -> Vec<MarketPoint> {
    let fitted = tokio::task::spawn_blocking(move || market_index(&levels, min_rows)).await;
    let fitted =
        fitted.inspect_err(|error| tracing::error!(%error, "The price level of a market could not be fitted."));
    fitted.ok().flatten().map(|index| index.points).unwrap_or_default()
}

/// The shortest period with enough listings in each that keeps a chart readable.
fn choose_period(overview: &ScopeOverview, min_rows: i64) -> Period {
    let months = overview.months.max(1);
    let fits = |per_period: i64, months_each: i64| {
        per_period * months_each >= 2 * min_rows
            && usize::try_from(months / months_each).is_ok_and(|n| n <= MAX_PERIODS)
    };
    match overview.rows / months {
        per_month if fits(per_month, 1) => Period::Month,
        per_month if fits(per_month, 3) => Period::Quarter,
        _ => Period::Year,
    }
}
