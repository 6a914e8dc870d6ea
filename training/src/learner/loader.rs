//! The loader thread: reads the epochs in order and hands their batches over.

use std::sync::Arc;

use crossbeam_channel::Sender;
use domain::identity::Split;
use storage::TabularBatch;

use super::task::{TrainingTask, Until};
use crate::error::Error;
use crate::stream::{ListingStream, Order, Position};

/// What the loader hands over.
#[derive(Debug)]
pub(super) enum Loaded {
    /// Rows to train on, and the position behind them.
    Train(Arc<TabularBatch>, Position),
    /// Rows to validate on, behind the training rows of their epoch.
    Validation(Arc<TabularBatch>),
    /// The epoch has no more rows.
    EpochEnd,
    /// The rows could not be read.
    Failed(Error),
}

/// Loads all epochs, each followed by the validation split where that decides when to stop, until the receiver is gone.
pub(super) fn load(
    task: &TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    (first, position): (usize, Position),
    shuffle_rows: usize,
    loaded: &Sender<Loaded>,
) {
    for epoch in first..=task.max_epochs() {
        let order = Order {
            seed: task.config.seed,
            epoch: epoch as u64 - 1,
            shuffle_rows,
            batch_size: task.batch_size(),
            is_shuffled: task.config.shuffle,
        };
        let from = if epoch == first { position } else { Position::default() };
        let rows = usize::try_from(task.rows).unwrap_or(usize::MAX);
        let train = |batch, behind| loaded.send(Loaded::Train(Arc::new(batch), behind)).is_ok();
        let validation = |batch| loaded.send(Loaded::Validation(Arc::new(batch))).is_ok();
        let mut read = stream.shuffled(order, from, rows, task.encoder, train);
        if matches!(task.until, Until::Best) {
            read = read.and_then(|()| stream.batches(Split::Validation, task.encoder, validation));
        }
        let last = match read {
            Ok(()) => Loaded::EpochEnd,
            Err(error) => Loaded::Failed(error),
        };
        let failed = matches!(last, Loaded::Failed(_));
        if loaded.send(last).is_err() || failed {
            break;
        }
    }
}
