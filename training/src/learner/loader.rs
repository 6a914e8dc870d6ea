//! The loader thread, which reads the batches of all epochs in order.

use std::sync::Arc;

use crossbeam_channel::Sender;
use domain::identity::Split;
use storage::TabularBatch;

use super::task::{StoppingRule, TrainingTask};
use crate::error::Error;
use crate::stream::{ListingStream, Order, Position};

/// A message from the loader.
#[derive(Debug)]
pub(super) enum LoaderMessage {
    /// A training batch and the position after it.
    Train(Arc<TabularBatch>, Position),
    /// A validation batch; these follow the training batches of their epoch.
    Validation(Arc<TabularBatch>),
    /// The end of an epoch.
    EpochEnd,
    /// A batch could not be read.
    Failed(Error),
}

/// Loads all epochs until the receiver is dropped. With early stopping, the validation split follows each epoch.
pub(super) fn load_epochs(
    task: &TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    (first_epoch, position): (usize, Position),
    shuffle_rows: usize,
    messages: &Sender<LoaderMessage>,
) {
    for epoch in first_epoch..=task.max_epochs() {
        let order = Order {
            seed: task.config.seed,
            epoch: epoch as u64 - 1,
            shuffle_rows,
            batch_size: task.batch_size(),
            is_shuffled: task.config.shuffle,
        };
        let start = if epoch == first_epoch { position } else { Position::default() };
        let rows = usize::try_from(task.rows).unwrap_or(usize::MAX);
        let train = |batch, next| messages.send(LoaderMessage::Train(Arc::new(batch), next)).is_ok();
        let validation = |batch| messages.send(LoaderMessage::Validation(Arc::new(batch))).is_ok();
        let mut read = stream.for_each_shuffled_batch(order, start, rows, task.encoder, train);
        if matches!(task.stopping_rule, StoppingRule::EarlyStopping(_)) {
            read = read.and_then(|()| stream.for_each_batch(Split::Validation, task.encoder, validation));
        }
        let last = match read {
            Ok(()) => LoaderMessage::EpochEnd,
            Err(error) => LoaderMessage::Failed(error),
        };
        let has_failed = matches!(last, LoaderMessage::Failed(_));
        if messages.send(last).is_err() || has_failed {
            break;
        }
    }
}
