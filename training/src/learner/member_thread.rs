//! The thread that trains a member.

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

use super::task::TrainingTask;
use crate::masks::Masks;
use crate::model::{Dropout, Encoded, Members, Preprocessing};

/// A command to a member.
#[derive(Clone)]
pub(super) enum Command {
    /// Train on a batch at this learning rate.
    Train(Arc<TabularBatch>, f64),
    /// Predict quantiles with the averaged weights.
    Predict(Arc<TabularBatch>),
    /// Mark the averaged weights as the best so far.
    MarkBest,
    /// Return the state to resume from.
    Save,
}

/// A reply of a member.
pub(super) enum Reply {
    /// The loss of a step.
    Loss(f32),
    /// The member's index and its standardized quantiles `[N, Q]`, row by row.
    Predicted(usize, Vec<f32>),
    /// The member's index and its state.
    Saved(usize, Result<MemberState, RecordError>),
    /// A member has panicked.
    Stopped,
}

/// The state of a member, as burn's records.
#[derive(Clone, Debug)]
pub struct MemberState {
    /// The current weights.
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
    /// The index among the members of this process.
    index: usize,
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

/// The use of a random generator. Each step has a generator per purpose, so that no generator state needs to be saved.
#[derive(Clone, Copy)]
enum Purpose {
    Dropout,
    Masks,
}

impl MemberThread {
    /// The member with this number, which determines its random numbers, and this index among those of this process.
    pub(super) fn new(
        (number, index): (usize, usize),
        member: Members,
        preprocessing: Preprocessing,
        task: &TrainingTask<'_>,
    ) -> Self {
        let config = task.config;
        let optimizer = AdamWConfig::new()
            .with_weight_decay(config.weight_decay)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(config.gradient_clip)))
            .init();
        // Distinct from the seed of the run.
        let seed = config.seed.wrapping_mul(1_000_003).wrapping_add(number as u64 + 1);
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        let levels = config.quantiles.iter().map(|level| *level as f32).collect();
        Self {
            index,
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
        self.member = load(&self.best, saved.weights)?.train();
        self.average = load(&self.best, saved.average)?;
        self.restore_best(saved.best)?;
        self.optimizer = self.optimizer.clone().from_bytes(Bytes::from_bytes_vec(saved.optimizer))?;
        self.steps = steps;
        Ok(())
    }

    /// Restores what is needed once training has finished.
    pub(super) fn restore_best(&mut self, best: Vec<u8>) -> Result<(), RecordError> {
        self.best = load(&self.best, best)?;
        Ok(())
    }

    fn save(&self) -> Result<MemberState, RecordError> {
        Ok(MemberState {
            weights: record(&self.member.valid())?,
            optimizer: self.optimizer.into_bytes()?.to_vec(),
            average: record(&self.average)?,
            best: record(&self.best)?,
        })
    }

    /// The number of weights.
    pub(super) fn weight_count(&self) -> usize {
        self.member.num_params()
    }

    /// The best averaged weights.
    pub(super) fn into_best(self) -> Members {
        self.best
    }

    /// Executes commands until the channel is closed, then returns the best averaged weights; `None` after a panic, which is
    /// reported by a reply.
    pub(super) fn run_commands(self, commands: Receiver<Command>, replies: &Sender<Reply>) -> Option<Members> {
        let result = catch_unwind(AssertUnwindSafe(|| self.process_commands(commands, replies)));
        result.map_err(|_| replies.send(Reply::Stopped)).ok()
    }

    fn process_commands(mut self, commands: Receiver<Command>, replies: &Sender<Reply>) -> Members {
        for command in commands {
            // The receiver may be gone; the remaining commands are still executed.
            let _ = match command {
                Command::Train(batch, rate) => replies.send(Reply::Loss(self.train_step(&batch, rate))),
                Command::Predict(batch) => replies.send(Reply::Predicted(self.index, self.predict(&batch))),
                Command::MarkBest => {
                    self.best = self.average.clone();
                    Ok(())
                }
                Command::Save => replies.send(Reply::Saved(self.index, self.save())),
            };
        }
        self.best
    }

    fn train_step(&mut self, batch: &TabularBatch, rate: f64) -> f32 {
        let masked = self.masks.apply(batch, self.random(Purpose::Masks));
        let mut dropout = Dropout::new(self.dropout, self.random(Purpose::Dropout));
        let Encoded { rows, numbers, mileage, years_beyond } = self.encode(&masked);
        let encoded = Encoded {
            rows: Tensor::from_inner(rows),
            numbers: Tensor::from_inner(numbers),
            mileage: Tensor::from_inner(mileage),
            years_beyond: Tensor::from_inner(years_beyond),
        };
        let quantiles = self.member.forward(encoded, Some(&mut dropout)); // [N, Q]
        let loss = self.loss(quantiles, &batch.log_prices);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.member);
        self.member = self.optimizer.step(rate, self.member.clone(), gradients);
        self.steps += 1;
        // The decay is lower in the first steps, so that the random initial weights fade quickly.
        #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
        let decay = self.ema.min((1 + self.steps) as f64 / (10 + self.steps) as f64);
        self.average = update_average(self.average.clone(), &self.member, decay);
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

/// A member as a record.
pub(super) fn record(member: &Members) -> Result<Vec<u8>, RecordError> {
    Ok(member.clone().into_record().into_bytes()?.to_vec())
}

fn load(member: &Members, record: Vec<u8>) -> Result<Members, RecordError> {
    member.clone().try_load_record(ModuleRecord::from_bytes(Bytes::from_bytes_vec(record))?)
}

/// Updates the exponential moving average with the current weights.
fn update_average(average: Members, current: &Members, decay: f64) -> Members {
    let mut weights = WeightCollector(HashMap::new());
    current.valid().visit(&mut weights);
    average.map(&mut WeightAverager { current: weights.0, decay })
}

/// Collects the weights of a module by parameter id; each is a `Tensor` of its own rank.
struct WeightCollector(HashMap<ParamId, Box<dyn Any>>);

impl ModuleVisitor for WeightCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, Box::new(param.val()));
    }
}

/// Averages the weights of a module with the current ones.
struct WeightAverager {
    current: HashMap<ParamId, Box<dyn Any>>,
    decay: f64,
}

impl ModuleMapper for WeightAverager {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let current = self.current.remove(&param.id).and_then(|weights| weights.downcast::<Tensor<D>>().ok());
        match current {
            Some(current) => param.map(|average| average * self.decay + *current * (1.0 - self.decay)),
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
    use crate::learner::task::StoppingRule;
    use crate::model::{DERIVED, GenerationCounter, Statistics};
    use crate::vocabulary::VocabularyCounter;

    #[test]
    fn a_panic_of_a_member_is_reported() {
        let config = TrainConfig { k: 1, d_block: 4, d_embedding: 2, n_bins: 2, ..TrainConfig::default() };
        let statistics = Statistics {
            cardinalities: vec![1; CATEGORICAL.len()],
            edges: vec![vec![0.0, 1.0, 2.0]; DERIVED],
            generations: GenerationCounter::default().most_frequent(1),
            dates: None,
            log_mean: 0.0,
            log_deviation: 1.0,
            falls_with_mileage: true,
        };
        let (encoder, stop) = (
            Encoder::new(&VocabularyCounter::new(1).into_schema(1, 1, domain::Market::russia())).unwrap(),
            AtomicBool::new(false),
        );
        let (config, statistics, encoder, stop) = (&config, &statistics, &encoder, &stop);
        let task =
            TrainingTask { config, statistics, encoder, rows: 1, stopping_rule: StoppingRule::EarlyStopping(1), stop };
        let device = Device::flex();
        let preprocessing = Preprocessing::init(config, statistics, &device);
        let member = MemberThread::new((0, 0), Members::init(config, statistics, &device), preprocessing, &task);
        let (command_sender, commands) = crossbeam_channel::unbounded();
        let (reply_sender, replies) = crossbeam_channel::unbounded();
        let row = |id| TabularBatch { ids: vec![id; 13], numbers: vec![1.0; 6], log_prices: vec![0.0] };
        // The second id is out of range.
        for id in [1, 1_000_000] {
            command_sender.send(Command::Predict(Arc::new(row(id)))).unwrap();
        }
        let thread = std::thread::spawn(move || member.run_commands(commands, &reply_sender));
        assert!(thread.join().unwrap().is_none());
        assert!(matches!(replies.recv(), Ok(Reply::Predicted(0, _))));
        assert!(matches!(replies.recv(), Ok(Reply::Stopped)));
        assert!(command_sender.send(Command::MarkBest).is_err(), "it accepts no more commands");
    }
}
