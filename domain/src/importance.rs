//! How much each setting of a sweep matters.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantile;

/// The number of bins of a setting with an order.
const BINS: usize = 4;
/// The number of trials below which shares would be due to chance.
const MIN_TRIALS: usize = 8;

/// For each setting that varies, the share of the variance of the losses that it explains alone: the correlation ratio over its
/// values or over quarters of its range, the largest first. `space` has a table per setting, with `values` if they have no order;
/// trials are settings with their loss. Empty for few trials.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "there are few trials")]
pub fn importance(space: &Value, trials: &[(&Value, f64)]) -> Vec<(String, f64)> {
    if trials.len() < MIN_TRIALS {
        return Vec::new();
    }
    let mean = trials.iter().map(|(_, loss)| loss).sum::<f64>() / trials.len() as f64;
    let variance: f64 = trials.iter().map(|(_, loss)| (loss - mean).powi(2)).sum();
    if variance <= 0.0 {
        return Vec::new();
    }
    let mut shares: Vec<(String, f64)> = Vec::new();
    for (name, definition) in space.as_object().into_iter().flatten() {
        let is_ordered = definition.get("values").is_none();
        let groups = group(trials, name, is_ordered);
        let between: f64 = groups.values().map(|(count, sum)| count * (sum / count - mean).powi(2)).sum();
        shares.push((name.clone(), between / variance));
    }
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

/// The number of trials and the sum of their losses, by value of a setting or by quarter of its range.
fn group(trials: &[(&Value, f64)], name: &str, is_ordered: bool) -> BTreeMap<String, (f64, f64)> {
    let mut numbers: Vec<f64> = trials.iter().filter_map(|(settings, _)| settings.get(name)?.as_f64()).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let edges = if is_ordered { quantile::bin_edges(&numbers, BINS) } else { Vec::new() };
    let mut groups: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (settings, loss) in trials {
        let value = settings.get(name);
        let group = match (value, value.and_then(Value::as_f64).filter(|_| !edges.is_empty())) {
            (_, Some(number)) => edges.partition_point(|edge| *edge <= number).to_string(),
            (Some(value), None) => value.to_string(),
            // A setting whose condition does not hold.
            (None, None) => String::new(),
        };
        let (count, sum) = groups.entry(group).or_default();
        (*count, *sum) = (*count + 1.0, *sum + loss);
    }
    groups
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shares(count: usize, loss: impl Fn(i64, f64) -> f64) -> Vec<(String, f64)> {
        let space = json!({ "k": { "values": [1, 2] }, "dropout": { "low": 0.0, "high": 0.8 } });
        let settings = (0..32_i32).map(|number| (i64::from(number % 2) + 1, f64::from(number / 2) / 20.0));
        let trials: Vec<(Value, f64)> =
            settings.map(|(k, dropout)| (json!({ "k": k, "dropout": dropout }), loss(k, dropout))).collect();
        let trials: Vec<(&Value, f64)> = trials.iter().take(count).map(|(settings, loss)| (settings, *loss)).collect();
        importance(&space, &trials)
    }

    #[test]
    fn the_setting_that_decides_comes_first() {
        let by_dropout = shares(32, |_, dropout| dropout * dropout);
        assert_eq!(by_dropout[0].0, "dropout");
        assert!(by_dropout[0].1 > 0.8 && by_dropout[1].1 < 1e-9, "{by_dropout:?}");
        assert_eq!(shares(32, |k, dropout| if k == 1 { 1.0 } else { 2.0 + 0.01 * dropout })[0].0, "k");
    }

    #[test]
    fn a_few_trials_say_nothing() {
        assert!(shares(7, |_, dropout| dropout).is_empty());
        assert!(shares(32, |_, _| 1.0).is_empty(), "nor do equal losses");
    }
}
