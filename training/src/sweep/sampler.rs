//! Proposes the settings of the next trial: a tree-structured Parzen estimator (Bergstra et al. 2011), one per setting.

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toml::Value;
use tpe::TpeOptimizerBuilder;
use tpe::density_estimation::DefaultEstimatorBuilder;
use tpe::range::Range;

use super::space::{Dimension, Settings, Space, Values};

/// The number of trials with random settings, from which the search starts.
const RANDOM_TRIALS: usize = 10;
/// The share of the trials that count as good. `bench/experiments` compares it with other shares.
const GOOD_SHARE: f64 = 0.15;
/// How often to draw again in place of a combination that was tried.
const DRAWS: usize = 20;

/// What is known of an earlier trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Its settings.
    pub settings: Settings,
    /// Its validation loss; `None` while it runs or if it failed.
    pub loss: Option<f64>,
    /// Whether it was stopped early, so that its loss is not final.
    pub is_pruned: bool,
}

/// The settings of the next trial, which depend only on the arguments. `None` if all combinations were tried.
#[must_use]
pub fn propose(space: &Space, observations: &[Observation], seed: u64) -> Option<Settings> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(observations.len() as u64);
    let is_new = |settings: &Settings| observations.iter().all(|earlier| earlier.settings != *settings);
    let losses = losses(observations);
    for _ in 0..DRAWS {
        let settings = draw(space, observations, &losses, &mut random);
        if is_new(&settings) {
            return Some(settings);
        }
    }
    match space.combinations() {
        Some(all) => {
            let untried: Vec<Settings> = all.into_iter().filter(is_new).collect();
            untried.choose(&mut random).cloned()
        }
        None => Some(draw(space, observations, &losses, &mut random)),
    }
}

/// A loss for each trial. A pruned or failed trial is worse than the completed ones, and a running one counts as bad, so that
/// processes that search at the same time try other settings.
fn losses(observations: &[Observation]) -> Vec<f64> {
    let completed = observations.iter().filter(|trial| !trial.is_pruned).filter_map(|trial| trial.loss);
    let worst = completed.fold(f64::NEG_INFINITY, f64::max);
    let worst = if worst.is_finite() { worst } else { 0.0 };
    let loss = |trial: &Observation| match trial.loss {
        Some(loss) if trial.is_pruned => loss.max(worst),
        Some(loss) => loss,
        None => worst,
    };
    observations.iter().map(loss).collect()
}

fn draw(space: &Space, observations: &[Observation], losses: &[f64], random: &mut ChaCha8Rng) -> Settings {
    let is_random = observations.iter().filter(|trial| trial.loss.is_some()).count() < RANDOM_TRIALS;
    let mut settings = Settings::new();
    for dimension in space.dimensions() {
        if !dimension.applies(&settings) {
            continue;
        }
        let axis = Axis::new(dimension);
        let position = if is_random {
            random.random_range(axis.start..axis.end)
        } else {
            suggested(&axis, observations, losses, random)
        };
        settings.insert(dimension.name.clone(), axis.value(position));
    }
    settings
}

/// The most promising position on an axis.
fn suggested(axis: &Axis<'_>, observations: &[Observation], losses: &[f64], random: &mut ChaCha8Rng) -> f64 {
    let fallback = random.random_range(axis.start..axis.end);
    let estimator = match axis.dimension.values {
        Values::Choice(_) => {
            DefaultEstimatorBuilder::Histogram(tpe::density_estimation::HistogramEstimatorBuilder::new())
        }
        _ => DefaultEstimatorBuilder::Parzen(tpe::density_estimation::ParzenEstimatorBuilder::new()),
    };
    let Ok(range) = Range::new(axis.start, axis.end) else { return fallback };
    let Ok(mut optimizer) = TpeOptimizerBuilder::new().gamma(GOOD_SHARE).build(estimator, range) else {
        return fallback;
    };
    for (trial, loss) in observations.iter().zip(losses) {
        // A setting whose condition did not hold is NaN.
        let position = trial.settings.get(&axis.dimension.name).and_then(|value| axis.position(value));
        if optimizer.tell(position.unwrap_or(f64::NAN), *loss).is_err() {
            return fallback;
        }
    }
    match optimizer.ask(random) {
        Ok(position) => position,
        Err(never) => match never {},
    }
}

/// A setting as an interval of real numbers, in which equal distances matter equally.
struct Axis<'a> {
    dimension: &'a Dimension,
    start: f64,
    end: f64,
}

#[expect(clippy::cast_precision_loss, reason = "settings are small")]
impl<'a> Axis<'a> {
    fn new(dimension: &'a Dimension) -> Self {
        let (start, end) = match &dimension.values {
            Values::Real { low, high, is_log: false } => (*low, *high),
            Values::Real { low, high, is_log: true } => (low.ln(), high.ln()),
            // Each integer has the same share of the axis, or the share of its order of magnitude.
            Values::Integer { low, high, step, is_log } => {
                let half = *step as f64 / 2.0;
                let (start, end) = (*low as f64 - half, *high as f64 + half);
                // `low` is at least 1, but half a step may be more.
                if *is_log { (start.max(0.5).ln(), end.ln()) } else { (start, end) }
            }
            Values::Choice(values) => (0.0, values.len() as f64),
        };
        Self { dimension, start, end }
    }

    /// The value at a position.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions are within the range of the values"
    )]
    fn value(&self, position: f64) -> Value {
        match &self.dimension.values {
            Values::Real { low, high, is_log } => {
                let value = if *is_log { position.exp() } else { position };
                Value::Float(value.clamp(*low, *high))
            }
            Values::Integer { low, high, step, is_log } => {
                let value = if *is_log { position.exp() } else { position };
                let steps = ((value - *low as f64) / *step as f64).round() as i64;
                Value::Integer((low + steps * step).clamp(*low, *high))
            }
            Values::Choice(values) => {
                let index = (position.max(0.0) as usize).min(values.len() - 1);
                values[index].clone()
            }
        }
    }

    /// The position of a value; `None` if it is not on the axis.
    fn position(&self, value: &Value) -> Option<f64> {
        let position = match (&self.dimension.values, value) {
            (Values::Choice(values), value) => values.iter().position(|other| other == value)? as f64,
            (Values::Real { is_log: true, .. }, Value::Float(value)) => value.ln(),
            (Values::Real { .. }, Value::Float(value)) => *value,
            (Values::Integer { is_log: true, .. }, Value::Integer(value)) => (*value as f64).ln(),
            (Values::Integer { .. }, Value::Integer(value)) => *value as f64,
            _ => return None,
        };
        // The bounds of the axis are exclusive above, and rounding may exceed them.
        (position >= self.start && position <= self.end).then(|| position.min(self.end.next_down()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;

    fn space(file: &str) -> Space {
        Space::read(file, &TrainConfig::default()).unwrap()
    }

    const SPACE: &str = "[learning_rate]\nlow = 1e-4\nhigh = 1e-1\nlog = true\n\
                         [d_block]\nlow = 32\nhigh = 512\nstep = 32\n\
                         [n_bins]\nvalues = [16, 64, 48]\n\
                         [dropout]\nlow = 0.0\nhigh = 0.5\nwhen = { n_bins = [16, 48] }";

    /// Best at a learning rate of 0.003, a width of 192, 64 bins.
    fn loss(settings: &Settings) -> f64 {
        let rate = (settings["learning_rate"].as_float().unwrap() / 3e-3).ln();
        #[expect(clippy::cast_precision_loss, reason = "a width is small")]
        let width = (settings["d_block"].as_integer().unwrap() as f64 - 192.0) / 100.0;
        let bins = if settings["n_bins"] == Value::Integer(64) { 0.0 } else { 1.0 };
        rate * rate + width * width + bins + settings.get("dropout").map_or(0.0, |rate| rate.as_float().unwrap())
    }

    fn search(space: &Space, trials: usize, seed: u64) -> Vec<Observation> {
        let mut observations: Vec<Observation> = Vec::new();
        for _ in 0..trials {
            let settings = propose(space, &observations, seed).unwrap();
            let loss = loss(&settings);
            observations.push(Observation { settings, loss: Some(loss), is_pruned: false });
        }
        observations
    }

    fn best(observations: &[Observation]) -> f64 {
        observations.iter().filter_map(|trial| trial.loss).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn it_finds_better_settings_than_chance() {
        let space = space(SPACE);
        let mut random = 0.0;
        let mut found = 0.0;
        for seed in 0..10 {
            let observations = search(&space, 50, seed);
            found += best(&observations);
            // With no losses all trials are random.
            let mut untold: Vec<Observation> = Vec::new();
            for _ in 0..50 {
                let settings = propose(&space, &untold, seed).unwrap();
                untold.push(Observation { settings, loss: None, is_pruned: false });
            }
            random += untold.iter().map(|trial| loss(&trial.settings)).fold(f64::INFINITY, f64::min);
        }
        assert!(found < 0.6 * random, "{found} instead of {random}");
    }

    #[test]
    fn settings_are_within_the_space_and_reproducible() {
        let space = space(SPACE);
        let observations = search(&space, 40, 7);
        assert_eq!(observations, search(&space, 40, 7));
        for Observation { settings, .. } in &observations {
            assert!((1e-4..=1e-1).contains(&settings["learning_rate"].as_float().unwrap()));
            let width = settings["d_block"].as_integer().unwrap();
            assert!((32..=512).contains(&width) && width % 32 == 0);
            assert_eq!(settings.contains_key("dropout"), settings["n_bins"] != Value::Integer(64));
        }
    }

    #[test]
    fn no_combination_is_tried_twice() {
        let space = space("[k]\nlow = 1\nhigh = 4\n[n_blocks]\nvalues = [1, 2, 3]");
        let mut observations: Vec<Observation> = Vec::new();
        while let Some(settings) = propose(&space, &observations, 0) {
            assert!(observations.iter().all(|trial| trial.settings != settings));
            observations.push(Observation { settings, loss: Some(1.0), is_pruned: false });
        }
        assert_eq!(observations.len(), 12);
    }

    #[test]
    fn pruned_and_running_trials_count_as_bad() {
        let trial = |loss, is_pruned| Observation { settings: Settings::new(), loss, is_pruned };
        let trials = [trial(Some(1.0), false), trial(Some(3.0), false), trial(Some(0.5), true), trial(None, false)];
        assert_eq!(losses(&trials), [1.0, 3.0, 3.0, 3.0]);
    }
}
