//! Measures inference alone, without HTTP: `inference MODEL.onnx` prints the microseconds per listing in batches of 256, and
//! of a single listing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use onnx_model::{Model, Runtime, Sessions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_ROWS: u16 = 256;
const MEASUREMENT: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("usage: inference MODEL.onnx")?;
    let model = Model::open(&Runtime::load(None)?, &std::fs::read(file)?, Sessions { bulk: 1, quick: 1 })?;
    let golden = model.signature().golden.clone().context("the model has no golden rows")?;
    let numbers: Vec<f32> = golden.numeric.iter().map(|number| number.unwrap_or(f32::NAN)).collect();
    let (categories, width) = (model.encoder().categorical_width(), model.encoder().numeric_width());
    for rows in [BATCH_ROWS, 12, 4, 1_u16] {
        let count = usize::from(rows);
        let ids: Vec<i64> = golden.categorical.iter().copied().cycle().take(count * categories).collect();
        let numbers: Vec<f32> = numbers.iter().copied().cycle().take(count * width).collect();
        let (start, mut runs) = (Instant::now(), 0_u32);
        while start.elapsed() < MEASUREMENT {
            black_box(model.run_graph(&ids, &numbers)?);
            runs += 1;
        }
        let microseconds = start.elapsed().as_secs_f64() * 1e6 / f64::from(runs);
        println!("{rows} listings: {microseconds:.1} µs, {:.1} µs a listing", microseconds / f64::from(rows));
    }
    Ok(())
}
