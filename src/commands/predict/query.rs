//! `probeg predict --query --into`: values the cars of a query into a table, here or on a cluster.

use std::io::Cursor;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use onnx_model::Model;
use storage::{CarPrice, CarQuery, CarRange, Database, PriceTable, PriceTableLock, PricedCounts};
use tables::{Options, RowResult, Source, Table, Valuer, value_table};
use tokio::time::timeout;

use super::cluster::{common_arguments, follow, job, require_shared_database};
use super::valuation::{Arguments, report_unused, with_valuer};
use crate::context::{Context, today};
use crate::output::{err, out};
use crate::process::Process;
use crate::slurm::Jobs;
use crate::variables;

/// What messages call the cars.
const NAME: &str = "the query";
/// The connections to the database of the cars.
const MAX_CONNECTIONS: u32 = 2;
/// The cars that a part values in a second at least, on a slow processor.
const MIN_ROWS_PER_SECOND: u64 = 200;
/// How long to wait for the removal of what has been kept, after a failure.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Which columns of a query are used.
struct Columns {
    used: Vec<String>,
    unused: Vec<String>,
}

/// Makes the table, or values one part of its cars.
pub fn run(process: &Process, arguments: &Arguments, table: &str) -> Result<()> {
    let is_on_cluster = arguments.cluster.on.is_some();
    if is_on_cluster {
        require_shared_database()?;
    }
    let context = Context::open_read_only(process)?;
    let table = cars_database(&context)?.price_table(table)?;
    let (version, model) = context.model(arguments.model.as_deref(), arguments.task.as_deref())?;
    if let Some(part) = arguments.part {
        // The other processors are for other parts.
        return value_part(&context, arguments, &table, (part, arguments.parts.get()), &model.with_threads(1));
    }
    let sql = arguments.query.query.clone().context("--into needs a query for cars; use --query")?;
    let query = CarQuery { sql, keys: arguments.query.key.clone(), replaces: arguments.query.replace };
    let columns = recognize(context.block_on(table.columns_of(&query))?, arguments.options(&model)?)?;
    // Without Slurm nothing is prepared.
    let jobs = is_on_cluster.then(|| Jobs::new(&context.home.join("slurm"), arguments.cluster.sbatch.clone()));
    let jobs = jobs.transpose()?;
    let (mut lock, rows) = context.block_on(table.prepare(&query))?;
    let valued = match jobs {
        Some(jobs) => value_on_cluster(&context, arguments, &table, (version, rows), jobs),
        None => value_part(&context, arguments, &table, (0, 1), &model),
    };
    match valued.and_then(|()| context.block_on(table.finish(&query, &mut lock))) {
        Ok(PricedCounts { rows, valued, .. }) => {
            out!("{table}: {valued} of {rows} rows valued by model version {version}")?;
            let unused: Vec<&String> = columns.unused.iter().filter(|column| !query.keys.contains(column)).collect();
            report_unused(&unused);
            Ok(())
        }
        Err(error) => {
            discard(&context, &table, lock);
            Err(error)
        }
    }
}

/// Removes what has been kept for a table that was not made.
fn discard(context: &Context, table: &PriceTable, lock: PriceTableLock) {
    let discarded = context.tokio.block_on(async { timeout(DISCARD_TIMEOUT, table.discard(lock)).await });
    if !matches!(discarded, Ok(Ok(()))) {
        tracing::warn!("The cars of the query are kept until the same command is repeated.");
    }
}

fn cars_database(context: &Context) -> Result<Database> {
    match variables::CARS_URL.value()? {
        None => Ok(context.database.clone()),
        Some(url) => {
            // The pool needs the context of the runtime.
            let _guard = context.tokio.enter();
            Database::connect_lazy(&url, MAX_CONNECTIONS).context("PROBEG_CARS_URL cannot be used")
        }
    }
}

/// Recognizes columns as the headers of a file are.
fn recognize(columns: Vec<String>, options: Options) -> Result<Columns> {
    let quoted: Vec<String> = columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let line = quoted.join(",") + "\n";
    let table = Table::open(Source::bytes(NAME, line.as_bytes()), options)?;
    let unrecognized = table.header().unrecognized();
    let (unused, used) = columns.into_iter().partition(|column| unrecognized.contains(&column.as_str()));
    Ok(Columns { used, unused })
}

fn value_on_cluster(
    context: &Context,
    arguments: &Arguments,
    table: &PriceTable,
    (version, rows): (i64, u64),
    mut jobs: Jobs,
) -> Result<()> {
    let count = arguments.parts.get();
    err!("{rows} cars in {count} parts");
    let mut words = vec!["predict".to_owned(), "--into".to_owned(), table.to_string()];
    words.extend(common_arguments(arguments, version));
    jobs.submit(&job(words, count, Duration::from_secs(rows / count as u64 / MIN_ROWS_PER_SECOND)))?;
    follow(context, jobs, count, || Ok(context.block_on(table.counts())?.parts))
}

/// Values a part of the cars that are kept, unless it is done.
fn value_part(
    context: &Context,
    arguments: &Arguments,
    table: &PriceTable,
    (part, count): (usize, usize),
    model: &Model,
) -> Result<()> {
    let options = arguments.options(model)?;
    let Columns { used, .. } = recognize(context.block_on(table.columns())?, options.clone())?;
    let Some(mut part) = context.block_on(table.begin_part(part, count))? else { return Ok(()) };
    with_valuer(model, arguments.day.unwrap_or_else(today), arguments.allow_unknown, |valuer| {
        while let Some(range) = context.block_on(part.read(&used))? {
            let prices = value(&range, options.clone(), valuer)?;
            context.block_on(part.write(&range, &prices))?;
        }
        Ok(())
    })?;
    context.block_on(part.finish())
}

/// Values some cars as rows of a CSV file are.
fn value(range: &CarRange, options: Options, valuer: &Valuer<'_, onnx_model::Error>) -> Result<Vec<CarPrice>> {
    let results = Mutex::new(Vec::with_capacity(range.rows));
    let observe = |rows: Vec<RowResult>| results.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    let valuer = Valuer { observe: Some(&observe), ..*valuer };
    value_table(Source::bytes(NAME, &range.csv), Cursor::new(Vec::new()), options, &valuer)?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|result| result.row);
    ensure!(results.len() == range.rows, "{} of {} cars were valued", results.len(), range.rows);
    Ok(results.into_iter().map(|RowResult { prices, status, .. }| CarPrice { prices, status }).collect())
}
