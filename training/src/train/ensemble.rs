//! The main training of a run whose members are trained by different processes: what each of them stores, and how their epochs
//! are compared.

use serde_json::json;
use storage::{Lease, PredictedChunk, TabularBatch, retry_while_unavailable};

use super::context::{Progress, RunContext};
use super::run::TrainingRun;
use crate::Error;
use crate::learner::{EnsembleEpoch, EpochRanking, MemberEvent, MemberMetrics};
use crate::model::Statistics;

/// The number of rows in a chunk of predictions.
const CHUNK_ROWS: usize = 1 << 16;

/// Stores the epochs of a member that is trained apart from the others.
pub(super) struct MemberUpload<'a> {
    run: &'a TrainingRun<'a>,
    lease: &'a Lease,
    statistics: &'a Statistics,
    /// The epochs that have been compared: repeating them adds nothing.
    ranking: EpochRanking,
    epoch: usize,
    chunk: PredictedChunk,
}

impl<'a> MemberUpload<'a> {
    pub(super) fn new(
        run: &'a TrainingRun<'a>,
        lease: &'a Lease,
        statistics: &'a Statistics,
        ranking: EpochRanking,
    ) -> Self {
        Self { run, lease, statistics, ranking, epoch: 0, chunk: PredictedChunk::default() }
    }

    /// Takes what the member has done; returns whether to train on.
    pub(super) fn take(&mut self, event: MemberEvent<'_>) -> Result<bool, Error> {
        match event {
            MemberEvent::Predicted(epoch, batch, quantiles) if epoch > self.ranking.epochs => {
                self.add_predictions(epoch, batch, quantiles)?;
            }
            MemberEvent::Predicted(..) => {}
            MemberEvent::EpochEnd(epoch, metrics, weights) => {
                if epoch > self.ranking.epochs {
                    self.store_chunk()?;
                    self.store_epoch(&metrics, &weights)?;
                }
                self.ranking = self.run.compare_epochs(self.statistics)?;
                return Ok(!self.ranking.is_over);
            }
        }
        Ok(true)
    }

    fn add_predictions(&mut self, epoch: usize, batch: &TabularBatch, quantiles: &[f32]) -> Result<(), Error> {
        if epoch != self.epoch {
            (self.epoch, self.chunk) = (epoch, PredictedChunk::default());
        }
        self.chunk.log_prices.extend(&batch.log_prices);
        self.chunk.quantiles.extend(quantiles);
        if self.chunk.log_prices.len() >= CHUNK_ROWS { self.store_chunk() } else { Ok(()) }
    }

    fn store_chunk(&mut self) -> Result<(), Error> {
        if self.chunk.log_prices.is_empty() {
            return Ok(());
        }
        let RunContext { database, retry_for, .. } = self.run.context;
        let (parts, epoch) = (database.run_parts(), number(self.epoch));
        let stored =
            retry_while_unavailable(retry_for, async || parts.record_predictions(self.lease, epoch, &self.chunk).await);
        self.run.context.block_on(stored)?;
        self.chunk = PredictedChunk { number: self.chunk.number + 1, ..PredictedChunk::default() };
        Ok(())
    }

    fn store_epoch(&mut self, metrics: &MemberMetrics, weights: &[u8]) -> Result<(), Error> {
        let RunContext { database, retry_for, .. } = self.run.context;
        let (parts, epoch, metrics) = (database.run_parts(), number(self.epoch), json!(metrics));
        let stored =
            retry_while_unavailable(retry_for, async || parts.record_epoch(self.lease, epoch, &metrics, weights).await);
        self.run.context.block_on(stored)
    }
}

impl TrainingRun<'_> {
    /// Compares those epochs that all members have stored, and records their metrics. Whichever process stores the last part of an
    /// epoch does so.
    pub(super) fn compare_epochs(&self, statistics: &Statistics) -> Result<EpochRanking, Error> {
        let RunContext { database, retry_for, report, .. } = self.context;
        let (parts, runs, config) = (database.run_parts(), database.runs(), &self.config);
        let compared = retry_while_unavailable(retry_for, async || {
            let mut comparison = parts.compare(self.id).await?;
            let mut ranking = EpochRanking::new(&comparison.losses().await?, config);
            let mut compared = Vec::new();
            while !ranking.is_over {
                let epoch = ranking.epochs + 1;
                let members: Vec<MemberMetrics> = comparison.metrics(number(epoch)).await?;
                if members.len() < config.k {
                    break;
                }
                let mut ensemble = EnsembleEpoch::default();
                for chunk in 0.. {
                    let chunks = comparison.predictions(number(epoch), chunk).await?;
                    let Some(first) = chunks.first() else { break };
                    let log_prices = first.log_prices.clone();
                    let predictions = chunks.into_iter().map(|chunk| chunk.quantiles).collect();
                    ensemble.add(&log_prices, predictions, config, statistics);
                }
                let metrics = ensemble.metrics(&members);
                ranking.add(metrics.validation_loss, config);
                runs.record_epoch(self.id, number(epoch), &json!(metrics)).await?;
                comparison.record(number(epoch), metrics.validation_loss, number(ranking.best_epoch)).await?;
                compared.push((epoch, metrics));
            }
            comparison.commit().await?;
            Ok((ranking, compared))
        });
        let (ranking, compared) = self.context.block_on(compared)?;
        for (epoch, metrics) in compared {
            report(Progress::Epoch(epoch, metrics));
        }
        Ok(ranking)
    }
}

pub(super) fn number(epoch: usize) -> u32 {
    u32::try_from(epoch).unwrap_or(u32::MAX)
}
