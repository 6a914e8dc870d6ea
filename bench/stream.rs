//! The streaming benchmark of `bench/streaming`: reads the training split of a database and prints the number of rows and
//! the time taken.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, bail};
use domain::identity::Split;
use onnx_model::Encoder;
use storage::{Database, Snapshot};
use training::stream::{ListingStream, Order, Position};
use training::vocabulary::VocabularyCounter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, url] = &arguments[..] else { bail!("usage: stream chunks|batches|spool URL") };
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stop = AtomicBool::new(false);
    let snapshot = tokio.block_on(async { Snapshot::begin(&Database::connect(url, 2).await?).await })?;
    let mut stream = ListingStream::new(snapshot, 0, false, tokio.handle(), &stop)?;
    let rows = usize::try_from(stream.count_rows()?.train)?;
    let order = Order { seed: 0, epoch: 0, shuffle_rows: 1 << 18, batch_size: 512, is_shuffled: true };
    let mut read = 0;
    let seconds = match mode.as_str() {
        // Decoded into arrow2 columns only.
        "chunks" => {
            let started = Instant::now();
            stream.scan(Split::Train, |chunk| {
                read += chunk.len();
                Ok(true)
            })?;
            started.elapsed()
        }
        // As in a training epoch: encoded, shuffled, in mini-batches.
        "batches" | "spool" => {
            let encoder = encoder(&mut stream)?;
            let folder = tempfile::tempdir()?;
            if mode == "spool" {
                stream.encode_split(Split::Train, &encoder, Some(&folder.path().join("train.arrow")), |_| {})?;
            }
            let started = Instant::now();
            stream.for_each_shuffled_batch(order, Position::default(), rows, &encoder, |batch, _| {
                read += batch.len();
                true
            })?;
            started.elapsed()
        }
        other => bail!("{other:?} is not one of chunks, batches and spool"),
    };
    anyhow::ensure!(read == rows, "{read} of {rows} rows were read");
    println!("{}", serde_json::json!({ "rows": rows, "seconds": seconds.as_secs_f64() }));
    Ok(())
}

fn encoder(stream: &mut ListingStream<'_>) -> Result<Encoder> {
    let mut counter = VocabularyCounter::new(1 << 16);
    stream.scan(Split::Train, |chunk| {
        (0..chunk.len()).for_each(|row| counter.add(|column| chunk.text(column, row)));
        Ok(true)
    })?;
    Ok(Encoder::new(&counter.into_schema(1, 1 << 16, domain::Market::russia()))?)
}
