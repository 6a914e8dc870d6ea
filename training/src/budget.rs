//! The memory budget of a run.

use std::time::Duration;

use bytesize::ByteSize;
use domain::feature::CATEGORICAL;
use storage::TabularBatch;

use crate::Error;
use crate::config::{Family, TrainConfig};
use crate::model::DERIVED;

/// The fixed memory: the process, the ONNX runtime, blocks and batches in flight, sketches and samples.
const FIXED_BYTES: u64 = 192 << 20;
/// The copies of a member's weights during training and export: current, gradients, two moments, averaged, best, and
/// temporary ones of a step, a checkpoint or the exported graph.
const WEIGHT_COPIES: u64 = 16;
/// One buffer is consumed while the next is filled, and the memory of a third may not be freed yet.
const BUFFERS: u64 = 3;
/// The maximum default size of a shuffle buffer. It holds over a hundred random blocks; a larger one does not shuffle
/// noticeably better.
const MAX_DEFAULT_ROWS: u64 = 1 << 18;

/// The number of listings in a shuffle buffer, a multiple of the batch size, for members with this many weights.
///
/// # Errors
/// [`Error::MemoryTooSmall`], including when the configured buffer does not fit.
pub fn shuffle_rows(config: &TrainConfig, batch_size: usize, weights: usize) -> Result<usize, Error> {
    let bytes_per_row = BUFFERS * TabularBatch::BYTES_PER_ROW as u64;
    let members = 4 * WEIGHT_COPIES * (config.k * weights) as u64;
    // The activations and their gradients in a step of each member.
    let widths = config.d_block * config.n_blocks
        + CATEGORICAL.len() * config.d_embedding
        + DERIVED * (config.d_numeric + config.n_bins);
    let steps = 4 * 6 * (config.k * config.batch_size * widths) as u64;
    let used = FIXED_BYTES + members + steps;
    let batch_size = batch_size as u64;
    let wanted = config.shuffle_rows.map(|rows| rows as u64);
    let fitting = config.memory.as_u64().saturating_sub(used) / bytes_per_row;
    if fitting < wanted.unwrap_or(batch_size) {
        let minimum = used + wanted.unwrap_or(batch_size) * bytes_per_row;
        return Err(too_small(config, minimum));
    }
    let rows = wanted.unwrap_or(fitting.min(MAX_DEFAULT_ROWS)) / batch_size * batch_size;
    Ok(usize::try_from(rows.max(batch_size)).unwrap_or(usize::MAX))
}

/// The time that a part of a run takes at least, on a node that is slow to start.
const MIN_TIME: Duration = Duration::from_mins(20);
/// The operations per second of a slow processor; others are about ten times as fast.
const MIN_OPERATIONS_PER_SECOND: u64 = 1 << 30;

/// A time limit for training one member on this many listings, generous enough for slow processors.
#[must_use]
pub fn time_limit(config: &TrainConfig, rows: u64) -> Duration {
    let config = config.clone().for_rows(rows);
    let inputs = CATEGORICAL.len() * config.d_embedding + DERIVED * config.d_numeric;
    let outputs = config.n_bins + config.quantiles.len() + 2;
    let weights = config.d_block * (inputs + (config.n_blocks - 1) * config.d_block + outputs);
    // A step multiplies and adds each weight three times a row.
    let operations = 6 * weights as u64 * rows * config.epochs.unwrap_or(1) as u64;
    MIN_TIME + Duration::from_secs(operations / MIN_OPERATIONS_PER_SECOND)
}

/// The maximum number of rows of which a linear model is fitted: with more, its few weights hardly change.
const MAX_LINEAR_ROWS: u64 = 1 << 18;
/// The minimum number of rows that must fit into the memory.
const MIN_LINEAR_ROWS: u64 = 1 << 14;
/// The copies of the weights of a linear model in the method of conjugate gradients, in double precision, and in the graph.
const LINEAR_WEIGHT_COPIES: u64 = 16;

/// The number of rows on which a linear model with this many weights is fitted. A network needs more memory than its floor, which
/// [`shuffle_rows`] checks.
///
/// # Errors
/// [`Error::MemoryTooSmall`], if the run is that of a linear model.
pub fn linear_rows(config: &TrainConfig, bytes_per_row: usize, weights: usize) -> Result<usize, Error> {
    let used = FIXED_BYTES + 8 * LINEAR_WEIGHT_COPIES * weights as u64;
    // The rows for the choice of the penalty are about as many, and vectors that grow are copied.
    let bytes_per_row = 4 * bytes_per_row as u64;
    let fitting = config.memory.as_u64().saturating_sub(used) / bytes_per_row;
    if fitting < MIN_LINEAR_ROWS && config.family == Family::Linear {
        return Err(too_small(config, used + MIN_LINEAR_ROWS * bytes_per_row));
    }
    Ok(usize::try_from(fitting.clamp(MIN_LINEAR_ROWS, MAX_LINEAR_ROWS)).unwrap_or(usize::MAX))
}

fn too_small(config: &TrainConfig, minimum: u64) -> Error {
    Error::MemoryTooSmall { memory: config.memory, minimum: ByteSize::mib(minimum.div_ceil(1 << 20)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_grows_with_the_listings_and_leaves_room_for_slow_processors() {
        let hours = |rows| time_limit(&TrainConfig::default(), rows).as_secs_f64() / 3600.0;
        // It takes about five minutes, and two hours.
        assert!((0.5..2.0).contains(&hours(60_000)), "{}", hours(60_000));
        assert!((8.0..24.0).contains(&hours(8_000_000)), "{}", hours(8_000_000));
    }

    #[test]
    fn the_rows_of_a_linear_model_are_bounded_and_fit_into_the_memory() {
        let linear = |memory| TrainConfig { family: Family::Linear, memory, ..TrainConfig::default() };
        let rows = |memory| linear_rows(&linear(memory), 100, 10_000);
        assert_eq!(rows(ByteSize::gib(64)).unwrap(), 1 << 18);
        let Err(Error::MemoryTooSmall { minimum, .. }) = rows(ByteSize::mib(1)) else { panic!("1 MiB is enough") };
        assert!((1 << 14..1 << 15).contains(&rows(minimum).unwrap()));
        let network = TrainConfig { family: Family::Network, ..linear(ByteSize::mib(1)) };
        assert_eq!(linear_rows(&network, 100, 10_000).unwrap(), 1 << 14, "a floor takes the fewest rows");
    }
}
