//! The thread of a member, which trains on every batch that it is sent.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, activation};
use crossbeam_channel::{Receiver, Sender};
use domain::feature::{CATEGORICAL, NUMERIC};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use storage::TabularBatch;

use super::masks::Masks;
use super::task::TrainingTask;
use crate::model::{Dropout, Encoded, Members, Preprocessing};

/// What a member is asked to do.
#[derive(Clone)]
pub(super) enum Job {
    /// Make a step at this learning rate.
    Train(Arc<TabularBatch>, f64),
    /// Predict quantiles with the averaged weights.
    Predict(Arc<TabularBatch>),
    /// Keep the averaged weights as the best so far.
    Keep,
    /// Return all that resuming needs.
    Save,
}

/// What a member replies.
pub(super) enum Reply {
    /// The loss of a step.
    Loss(f32),
    /// By member: standardized quantiles `[N, Q]`, row by row.
    Predicted(usize, Vec<f32>),
    /// By member.
    Saved(usize, Result<MemberState, RecordError>),
    /// A member has panicked and replies no more.
    Stopped,
}

/// The state of a member, as burn's records.
#[derive(Clone, Debug)]
pub struct MemberState {
    /// The live weights.
    pub weights: Vec<u8>,
    /// The moments of the gradients.
    pub optimizer: Vec<u8>,
    /// The averaged weights.
    pub average: Vec<u8>,
    /// The best averaged weights so far.
    pub best: Vec<u8>,
}

/// A member in training.
pub(super) struct MemberThread {
    number: usize,
    member: Members,
    optimizer: ModuleOptimizer,
    /// The exponential moving average of the weights.
    average: Members,
    best: Members,
    preprocessing: Preprocessing,
    dropout: f64,
    masks: Masks,
    seed: u64,
    levels: Vec<f32>,
    log_mean: f64,
    log_deviation: f64,
    ema: f64,
    steps: u64,
}

/// What randomness is used for. Each step has a generator for each purpose, so that none has a state to save.
#[derive(Clone, Copy)]
enum Purpose {
    Dropout,
    Masks,
}

impl MemberThread {
    pub(super) fn new(number: usize, member: Members, preprocessing: Preprocessing, task: &TrainingTask<'_>) -> Self {
        let config = task.config;
        let optimizer = AdamWConfig::new()
            .with_weight_decay(config.weight_decay)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(config.gradient_clip)))
            .init();
        // Seeds of members are far apart and never meet the run's own.
        let seed = config.seed.wrapping_mul(1_000_003).wrapping_add(number as u64 + 1);
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        let levels = config.quantiles.iter().map(|level| *level as f32).collect();
        Self {
            number,
            optimizer,
            average: member.clone(),
            best: member.clone(),
            member: member.train(),
            preprocessing,
            dropout: config.dropout,
            masks: Masks::new(config),
            seed,
            levels,
            log_mean: task.statistics.log_mean,
            log_deviation: task.statistics.log_deviation,
            ema: config.ema,
            steps: 0,
        }
    }

    /// Restores the state after a number of steps.
    pub(super) fn restore(&mut self, saved: MemberState, steps: u64) -> Result<(), RecordError> {
        let load = |member: &Members, bytes| {
            member.clone().try_load_record(ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))?)
        };
        self.member = load(&self.best, saved.weights)?.train();
        self.average = load(&self.best, saved.average)?;
        self.best = load(&self.best, saved.best)?;
        self.optimizer = self.optimizer.clone().from_bytes(Bytes::from_bytes_vec(saved.optimizer))?;
        self.steps = steps;
        Ok(())
    }

    fn save(&self) -> Result<MemberState, RecordError> {
        let record = |member: &Members| Ok::<_, RecordError>(member.clone().into_record().into_bytes()?.to_vec());
        Ok(MemberState {
            weights: record(&self.member.valid())?,
            optimizer: self.optimizer.into_bytes()?.to_vec(),
            average: record(&self.average)?,
            best: record(&self.best)?,
        })
    }

    /// How many weights it has.
    pub(super) fn weights(&self) -> usize {
        self.member.num_params()
    }

    /// The best averaged weights.
    pub(super) fn into_best(self) -> Members {
        self.best
    }

    /// Works until there are no more jobs and returns the best averaged weights. A panic is replied to whoever waits,
    /// and returns nothing.
    pub(super) fn run_jobs(self, jobs: Receiver<Job>, replies: &Sender<Reply>) -> Option<Members> {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work(jobs, replies)));
        worked.map_err(|_| replies.send(Reply::Stopped)).ok()
    }

    fn work(mut self, jobs: Receiver<Job>, replies: &Sender<Reply>) -> Members {
        for job in jobs {
            // The receiver may be gone; the remaining jobs are done all the same.
            let _ = match job {
                Job::Train(batch, rate) => replies.send(Reply::Loss(self.train_step(&batch, rate))),
                Job::Predict(batch) => replies.send(Reply::Predicted(self.number, self.predict(&batch))),
                Job::Keep => {
                    self.best = self.average.clone();
                    Ok(())
                }
                Job::Save => replies.send(Reply::Saved(self.number, self.save())),
            };
        }
        self.best
    }

    fn train_step(&mut self, batch: &TabularBatch, rate: f64) -> f32 {
        let masked = self.masks.masked(batch, self.random(Purpose::Masks));
        let mut dropout = Dropout::new(self.dropout, self.random(Purpose::Dropout));
        let Encoded { rows, numbers, mileage } = self.encode(&masked);
        let encoded = Encoded {
            rows: Tensor::from_inner(rows),
            numbers: Tensor::from_inner(numbers),
            mileage: Tensor::from_inner(mileage),
        };
        let quantiles = self.member.forward(encoded, Some(&mut dropout)); // [N, Q]
        let loss = self.loss(quantiles, &batch.log_prices);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.member);
        self.member = self.optimizer.step(rate, self.member.clone(), gradients);
        self.steps += 1;
        // A young average decays faster, so that the random initial weights do not linger in it.
        #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
        let decay = self.ema.min((1 + self.steps) as f64 / (10 + self.steps) as f64);
        self.average = averaged(self.average.clone(), &self.member, decay);
        loss.inner().into_scalar::<f32>()
    }

    fn random(&self, purpose: Purpose) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(2 * self.steps + purpose as u64);
        random
    }

    /// The mean pinball loss over rows and levels.
    fn loss(&self, quantiles: Tensor<2>, log_prices: &[f32]) -> Tensor<1> {
        let device = quantiles.device();
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        let targets: Vec<f32> = log_prices
            .iter()
            .map(|log_price| ((f64::from(*log_price) - self.log_mean) / self.log_deviation) as f32)
            .collect();
        let targets = Tensor::<2>::from_data(TensorData::new(targets, [log_prices.len(), 1]), &device); // [N, 1]
        let levels = Tensor::<2>::from_data(TensorData::new(self.levels.clone(), [1, self.levels.len()]), &device);
        let error = targets - quantiles; // [N, Q]
        (error.clone() * levels + activation::relu(-error)).mean()
    }

    fn predict(&self, batch: &TabularBatch) -> Vec<f32> {
        self.average.forward(self.encode(batch), None).into_data().iter::<f32>().collect()
    }

    fn encode(&self, batch: &TabularBatch) -> Encoded {
        let device = Device::flex();
        let n = batch.len();
        let ids = TensorData::new(batch.ids.clone(), [n, CATEGORICAL.len()]);
        let numbers = TensorData::new(batch.numbers.clone(), [n, NUMERIC.len()]);
        self.preprocessing.encode(&Tensor::from_data(ids, &device), &Tensor::from_data(numbers, &device))
    }
}

/// The average of `average` and `live`, the first weighted with `decay`.
fn averaged(average: Members, live: &Members, decay: f64) -> Members {
    let mut weights = Weights(HashMap::new());
    live.valid().visit(&mut weights);
    average.map(&mut Averaging { live: weights.0, decay })
}

/// The weights of a module by their identity; each is a `Tensor` of its own rank.
struct Weights(HashMap<ParamId, Box<dyn Any>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, Box::new(param.val()));
    }
}

struct Averaging {
    live: HashMap<ParamId, Box<dyn Any>>,
    decay: f64,
}

impl ModuleMapper for Averaging {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let live = self.live.remove(&param.id).and_then(|weights| weights.downcast::<Tensor<D>>().ok());
        match live {
            Some(live) => param.map(|average| average * self.decay + *live * (1.0 - self.decay)),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use onnx_model::Encoder;

    use super::*;
    use crate::config::TrainConfig;
    use crate::learner::task::Until;
    use crate::model::{DERIVED, GenerationCounter, Statistics};
    use crate::vocabulary::VocabularyCounter;

    #[test]
    fn a_member_that_panics_says_so() {
        let config = TrainConfig { k: 1, d_block: 4, d_embedding: 2, n_bins: 2, ..TrainConfig::default() };
        let statistics = Statistics {
            cardinalities: vec![1; CATEGORICAL.len()],
            edges: vec![vec![0.0, 1.0, 2.0]; DERIVED],
            generations: GenerationCounter::default().most_frequent(1),
            log_mean: 0.0,
            log_deviation: 1.0,
        };
        let (encoder, stop) =
            (Encoder::new(&VocabularyCounter::new(1).into_schema(1, 1)).unwrap(), AtomicBool::new(false));
        let (config, statistics, encoder, stop) = (&config, &statistics, &encoder, &stop);
        let task = TrainingTask { config, statistics, encoder, rows: 1, until: Until::Best, stop };
        let device = Device::flex();
        let preprocessing = Preprocessing::init(config, statistics, &device);
        let member = MemberThread::new(0, Members::init(config, statistics, &device), preprocessing, &task);
        let (jobs_in, jobs) = crossbeam_channel::unbounded();
        let (replies_in, replies) = crossbeam_channel::unbounded();
        let row = |id| TabularBatch { ids: vec![id; 13], numbers: vec![1.0; 6], log_prices: vec![0.0] };
        // No table has the second id.
        for id in [1, 1_000_000] {
            jobs_in.send(Job::Predict(Arc::new(row(id)))).unwrap();
        }
        let thread = std::thread::spawn(move || member.run_jobs(jobs, &replies_in));
        assert!(thread.join().unwrap().is_none());
        assert!(matches!(replies.recv(), Ok(Reply::Predicted(0, _))));
        assert!(matches!(replies.recv(), Ok(Reply::Stopped)));
        assert!(jobs_in.send(Job::Keep).is_err(), "it takes no more jobs");
    }
}
