//! The memory budget of a run.

use bytesize::ByteSize;
use domain::feature::CATEGORICAL;
use storage::TabularBatch;

use crate::Error;
use crate::config::TrainConfig;
use crate::model::DERIVED;

/// The program, the ONNX runtime, blocks and batches in flight, sketches and samples.
const PROGRAM: u64 = 192 << 20;
/// Copies of a network's weights in its thread and in the export: live, gradients, two moments, averaged, best, and
/// those that a step, a checkpoint or the exported graph make for a moment.
const COPIES_OF_WEIGHTS: u64 = 16;
/// One is consumed while the next is filled, and the memory of a third may not be freed yet.
const BUFFERS: u64 = 3;
/// A larger buffer does not improve the order: this one holds more than a hundred blocks from all over the table.
const ENOUGH_ROWS: u64 = 1 << 18;

/// The listings in a shuffle buffer, a multiple of the batch size, given how many weights a member has.
///
/// # Errors
/// [`Error::MemoryTooSmall`], also when the configured buffer does not fit.
pub fn shuffle_rows(config: &TrainConfig, batch_size: usize, weights: usize) -> Result<usize, Error> {
    let bytes_per_row = BUFFERS * TabularBatch::BYTES_PER_ROW as u64;
    let members = 4 * COPIES_OF_WEIGHTS * (config.k * weights) as u64;
    // The widest layers of a step, forward and backward, in each member.
    let widths = config.d_block * config.n_blocks
        + CATEGORICAL.len() * config.d_embedding
        + DERIVED * (config.d_numeric + config.n_bins);
    let steps = 4 * 6 * (config.k * config.batch_size * widths) as u64;
    let taken = PROGRAM + members + steps;
    let batch_size = batch_size as u64;
    let wanted = config.shuffle_rows.map(|rows| rows as u64);
    let fitting = config.memory.as_u64().saturating_sub(taken) / bytes_per_row;
    if fitting < wanted.unwrap_or(batch_size) {
        let minimum = taken + wanted.unwrap_or(batch_size) * bytes_per_row;
        return Err(Error::MemoryTooSmall { memory: config.memory, minimum: ByteSize::mib(minimum.div_ceil(1 << 20)) });
    }
    let rows = wanted.unwrap_or(fitting.min(ENOUGH_ROWS)) / batch_size * batch_size;
    Ok(usize::try_from(rows.max(batch_size)).unwrap_or(usize::MAX))
}
