//! How much each setting matters.

use std::collections::BTreeMap;

use domain::quantile;
use toml::Value;

use super::sampler::Observation;
use super::space::{Space, Values};

/// The number of bins of a setting with an order.
const BINS: usize = 4;
/// The number of trials below which shares would be due to chance.
const MIN_TRIALS: usize = 8;

/// For each setting that varies, the share of the variance of the losses that it explains alone: the correlation ratio over its
/// values or over quarters of its range, the largest first. Empty for few trials.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are few trials")]
pub fn importance(space: &Space, trials: &[Observation]) -> Vec<(String, f64)> {
    let ended: Vec<(&Observation, f64)> = trials.iter().filter_map(|trial| Some((trial, trial.loss?))).collect();
    if ended.len() < MIN_TRIALS {
        return Vec::new();
    }
    let mean = ended.iter().map(|(_, loss)| loss).sum::<f64>() / ended.len() as f64;
    let variance: f64 = ended.iter().map(|(_, loss)| (loss - mean).powi(2)).sum();
    if variance <= 0.0 {
        return Vec::new();
    }
    let mut shares: Vec<(String, f64)> = Vec::new();
    for dimension in space.dimensions() {
        let value_of = |trial: &Observation| trial.settings.get(&dimension.name).cloned();
        let mut edges = Vec::new();
        if !matches!(dimension.values, Values::Choice(_)) {
            let mut numbers: Vec<f64> = ended.iter().filter_map(|(trial, _)| number(&value_of(trial)?)).collect();
            numbers.sort_unstable_by(f64::total_cmp);
            edges = quantile::bin_edges(&numbers, BINS);
        }
        let group = |value: Option<Value>| match value {
            None => "none".to_owned(),
            Some(value) => match number(&value).filter(|_| !edges.is_empty()) {
                Some(number) => edges.partition_point(|edge| *edge <= number).to_string(),
                None => value.to_string(),
            },
        };
        let mut groups: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (trial, loss) in &ended {
            let (count, sum) = groups.entry(group(value_of(trial))).or_default();
            (*count, *sum) = (*count + 1.0, *sum + loss);
        }
        let between: f64 = groups.values().map(|(count, sum)| count * (sum / count - mean).powi(2)).sum();
        shares.push((dimension.name.clone(), between / variance));
    }
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

#[expect(clippy::cast_precision_loss, reason = "settings are small")]
fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|value| value as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;
    use crate::sweep::Settings;

    fn trials(loss: impl Fn(i64, f64) -> f64) -> (Space, Vec<Observation>) {
        let file = "[k]\nvalues = [1, 2]\n[dropout]\nlow = 0.0\nhigh = 0.8";
        let space = Space::read(file, &TrainConfig::default()).unwrap();
        let trial = |number: i32| {
            let (k, dropout) = (i64::from(number % 2) + 1, f64::from(number / 2) / 20.0);
            let settings = Settings::from([("k".to_owned(), k.into()), ("dropout".to_owned(), dropout.into())]);
            Observation { settings, loss: Some(loss(k, dropout)), is_pruned: false }
        };
        (space, (0..32).map(trial).collect())
    }

    #[test]
    fn the_setting_that_decides_comes_first() {
        let (space, observations) = trials(|_, dropout| dropout * dropout);
        let shares = importance(&space, &observations);
        assert_eq!(shares[0].0, "dropout");
        assert!(shares[0].1 > 0.8 && shares[1].1 < 1e-9, "{shares:?}");
        let (space, observations) = trials(|k, dropout| if k == 1 { 1.0 } else { 2.0 + 0.01 * dropout });
        assert_eq!(importance(&space, &observations)[0].0, "k");
    }

    #[test]
    fn a_few_trials_say_nothing() {
        let (space, observations) = trials(|_, dropout| dropout);
        assert!(importance(&space, &observations[..7]).is_empty());
        let (space, observations) = trials(|_, _| 1.0);
        assert!(importance(&space, &observations).is_empty(), "nor do equal losses");
    }
}
