//! Upper bounds for `bench/serving`: the same I/O without valuations.
//!
//! `limit serve ADDR` parses the JSON of each POST to `/v1/valuations` and returns a constant valuation.
//! `limit copy IN OUT` copies a workbook with calamine and `rust_xlsxwriter` and prints the time taken in seconds.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use axum::Json;
use axum::routing::post;
use calamine::{Data, Reader, Xlsx, open_workbook};
use rust_xlsxwriter::Workbook;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(address))
        }
        ["copy", from, to] => copy(from, to),
        _ => bail!("usage: limit serve ADDR, or limit copy IN OUT"),
    }
}

async fn serve(address: &str) -> Result<()> {
    let quantiles =
        [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95].map(|level| json!({ "level": level, "price": 1_199_988.75 }));
    let valuation = json!({
        "price": 1_199_988.75, "currency": "RUB", "low": 1_001_381.69, "high": 1_431_885.65, "level": 0.8,
        "quantiles": quantiles,
        "as_of": "2026-11-22", "model": { "version": 1, "trained_at": "2026-11-22T22:55:49Z" }, "warnings": [],
    });
    let value = async move |Json(car): Json<Value>| {
        let mut response = valuation.clone();
        response["as_of"] = car["listing_date"].clone();
        Json(response)
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, axum::Router::new().route("/v1/valuations", post(value))).await?)
}

fn copy(from: &str, to: &str) -> Result<()> {
    let started = Instant::now();
    let mut workbook: Xlsx<_> = open_workbook(from)?;
    let range = workbook.worksheet_range_at(0).context("the workbook has no sheet")??;
    let mut written = Workbook::new();
    let sheet = written.add_worksheet_with_constant_memory()?;
    for (row, cells) in range.rows().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (row, column) = (u32::try_from(row)?, u16::try_from(column)?);
            match cell {
                Data::Empty => {}
                Data::Int(number) => drop(sheet.write(row, column, *number)?),
                Data::Float(number) => drop(sheet.write(row, column, *number)?),
                other => drop(sheet.write(row, column, other.to_string())?),
            }
        }
    }
    written.save(to)?;
    println!("{}", started.elapsed().as_secs_f64());
    Ok(())
}
