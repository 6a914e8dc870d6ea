//! The space of a sweep: which hyperparameters vary, and between which values.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use crate::TrainConfig;
use crate::config::ConfigError;

/// The values of the settings of a trial, by name. A setting whose condition does not hold has none.
pub type Settings = BTreeMap<String, Value>;

/// The maximum number of combinations that are listed; of more, the same one is hardly proposed twice.
const MAX_COMBINATIONS: usize = 10_000;

/// The hyperparameters that a sweep varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Those on which conditions depend come first.
    dimensions: Vec<Dimension>,
}

/// A hyperparameter with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// Its name in the configuration.
    pub name: String,
    /// Its values.
    pub values: Values,
    /// The condition under which it has a value: another setting has one of these values.
    pub condition: Option<(String, Vec<Value>)>,
}

/// The values of a hyperparameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Real numbers between bounds.
    Real {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
        /// Whether orders of magnitude count rather than differences.
        is_log: bool,
    },
    /// Integers from the lowest value in steps.
    Integer {
        /// The lowest value.
        low: i64,
        /// The highest value; the steps reach it.
        high: i64,
        /// The distance between values.
        step: i64,
        /// Whether orders of magnitude count rather than differences.
        is_log: bool,
    },
    /// Values without an order.
    Choice(Vec<Value>),
}

/// Why a space cannot be searched.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The file is not TOML.
    #[error("the space cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// There is nothing to vary.
    #[error(
        "the space is empty; name a setting with its values, such as [learning_rate] with low = 0.001 and high = 0.01"
    )]
    Empty,
    /// A setting is wrong.
    #[error("[{name}]: {reason}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A value of the space is no valid configuration.
    #[error("[{name}] = {value}: {cause}")]
    Value {
        /// The setting.
        name: String,
        /// The value.
        value: Value,
        /// Why it is invalid.
        cause: Box<ConfigError>,
    },
    /// More trials than combinations.
    #[error(
        "the space has only {combinations} combinations, which is fewer than {trials} trials; use --trials {combinations}"
    )]
    TooManyTrials {
        /// The number of combinations.
        combinations: usize,
        /// The number of trials asked for.
        trials: usize,
    },
}

/// A setting as written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    low: Option<Value>,
    high: Option<Value>,
    step: Option<i64>,
    #[serde(default)]
    log: bool,
    values: Option<Vec<Value>>,
    when: Option<Table>,
}

impl Space {
    /// Reads a space: a table per setting, with `low`, `high` and optionally `log` and `step`, or with `values`; and optionally
    /// `when`, the values of another setting under which this one matters. `base` is the configuration of all other settings.
    ///
    /// # Errors
    /// [`SpaceError`], which names the setting.
    pub fn read(file: &str, base: &TrainConfig) -> Result<Self, SpaceError> {
        Self::from_table(&toml::from_str(file)?, base)
    }

    /// The same from a table that was parsed before.
    ///
    /// # Errors
    /// [`SpaceError`], which names the setting.
    pub fn from_table(table: &Table, base: &TrainConfig) -> Result<Self, SpaceError> {
        let mut dimensions = Vec::new();
        for (name, definition) in table {
            let error = |reason: String| SpaceError::Setting { name: name.clone(), reason };
            let definition: Definition =
                definition.clone().try_into().map_err(|cause: toml::de::Error| error(cause.message().to_owned()))?;
            dimensions.push(Dimension::new(name, definition).map_err(error)?);
        }
        if dimensions.is_empty() {
            return Err(SpaceError::Empty);
        }
        let space = Self { dimensions: ordered(dimensions)? };
        space.check_values(base)?;
        Ok(space)
    }

    /// The settings, each after the one that its condition depends on.
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Checks that there are as many combinations as trials.
    ///
    /// # Errors
    /// [`SpaceError::TooManyTrials`].
    pub fn check_trials(&self, trials: usize) -> Result<(), SpaceError> {
        match self.combinations() {
            Some(all) if all.len() < trials => Err(SpaceError::TooManyTrials { combinations: all.len(), trials }),
            _ => Ok(()),
        }
    }

    /// All combinations, unless there are very many.
    #[must_use]
    pub fn combinations(&self) -> Option<Vec<Settings>> {
        let mut all = vec![Settings::new()];
        for dimension in &self.dimensions {
            let values = dimension.values.listed()?;
            let mut next = Vec::new();
            for settings in all {
                if dimension.applies(&settings) {
                    let with = |value: &Value| {
                        let mut settings = settings.clone();
                        settings.insert(dimension.name.clone(), value.clone());
                        settings
                    };
                    next.extend(values.iter().map(with));
                } else {
                    next.push(settings);
                }
                if next.len() > MAX_COMBINATIONS {
                    return None;
                }
            }
            all = next;
        }
        Some(all)
    }

    /// Each value alone must be a valid configuration, so that no trial fails for that reason.
    fn check_values(&self, base: &TrainConfig) -> Result<(), SpaceError> {
        for Dimension { name, values, .. } in &self.dimensions {
            let bounds = match values {
                Values::Real { low, high, .. } => vec![Value::Float(*low), Value::Float(*high)],
                Values::Integer { low, high, .. } => vec![Value::Integer(*low), Value::Integer(*high)],
                Values::Choice(values) => values.clone(),
            };
            for value in bounds {
                let settings = Settings::from([(name.clone(), value.clone())]);
                base.with_settings(&settings).map_err(|cause| SpaceError::Value {
                    name: name.clone(),
                    value,
                    cause: Box::new(cause),
                })?;
            }
        }
        Ok(())
    }
}

impl Dimension {
    fn new(name: &str, definition: Definition) -> Result<Self, String> {
        let Definition { low, high, step, log, values, when } = definition;
        let values = match (values, low, high) {
            (Some(values), None, None) => {
                if log || step.is_some() {
                    return Err("`log` and `step` are for `low` and `high`, not for `values`".to_owned());
                }
                Values::choice(values)?
            }
            (None, Some(low), Some(high)) => Values::range(&low, &high, step, log)?,
            (Some(_), ..) => return Err("it has both `values` and bounds; use one of them".to_owned()),
            _ => return Err("it needs `low` and `high`, or `values`".to_owned()),
        };
        let condition = match when.map(Vec::from_iter).as_deref() {
            None => None,
            Some([(other, Value::Array(values))]) => Some((other.clone(), values.clone())),
            Some([(other, value)]) => Some((other.clone(), vec![value.clone()])),
            Some(_) => return Err("`when` names one other setting, such as when = { n_blocks = [3, 4] }".to_owned()),
        };
        Ok(Self { name: name.to_owned(), values, condition })
    }

    /// Whether the condition holds for settings in which all earlier ones have their values.
    #[must_use]
    pub fn applies(&self, settings: &Settings) -> bool {
        let holds = |(other, values): &(String, Vec<Value>)| settings.get(other).is_some_and(|it| values.contains(it));
        self.condition.as_ref().is_none_or(holds)
    }
}

impl Values {
    fn choice(values: Vec<Value>) -> Result<Self, String> {
        if values.is_empty() {
            return Err("`values` is empty".to_owned());
        }
        let twice = values.iter().enumerate().find(|(index, value)| values[..*index].contains(value));
        match twice {
            Some((_, value)) => Err(format!("{value} is among the values twice")),
            None => Ok(Self::Choice(values)),
        }
    }

    fn range(low: &Value, high: &Value, step: Option<i64>, is_log: bool) -> Result<Self, String> {
        if let (Value::Integer(low), Value::Integer(high)) = (low, high) {
            let (low, high, step) = (*low, *high, step.unwrap_or(1));
            if step < 1 {
                return Err(format!("`step` must be at least 1, but is {step}"));
            }
            if is_log && low < 1 {
                return Err(format!("with `log`, `low` must be at least 1, but is {low}"));
            }
            if low >= high {
                return Err(format!("the range is empty: `low` is {low} and `high` is {high}"));
            }
            let Some(steps) = high.checked_sub(low).map(|width| width / step).filter(|steps| *steps < 1 << 32) else {
                return Err("the range is too large".to_owned());
            };
            return Ok(Self::Integer { low, high: low + steps * step, step, is_log });
        }
        let number = |name: &str, value: &Value| match value {
            Value::Float(number) if number.is_finite() => Ok(*number),
            #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
            Value::Integer(number) => Ok(*number as f64),
            other => Err(format!("`{name}` must be a number, but is {other}")),
        };
        let (low, high) = (number("low", low)?, number("high", high)?);
        if step.is_some() {
            return Err("`step` is for integers; with two integer bounds it would be accepted".to_owned());
        }
        if is_log && low <= 0.0 {
            return Err(format!("with `log`, `low` must be above 0, but is {low}"));
        }
        if low >= high {
            return Err(format!("the range is empty: `low` is {low} and `high` is {high}"));
        }
        Ok(Self::Real { low, high, is_log })
    }

    /// All values, if they are countable and not too many.
    fn listed(&self) -> Option<Vec<Value>> {
        match self {
            Self::Real { .. } => None,
            Self::Integer { low, high, step, .. } => {
                let count = usize::try_from((high - low) / step).ok()? + 1;
                let values = (*low..=*high).step_by(usize::try_from(*step).ok()?).map(Value::Integer);
                (count <= MAX_COMBINATIONS).then(|| values.collect())
            }
            Self::Choice(values) => Some(values.clone()),
        }
    }
}

/// Puts each setting after the one that its condition depends on.
fn ordered(mut remaining: Vec<Dimension>) -> Result<Vec<Dimension>, SpaceError> {
    let error = |name: &str, reason: String| SpaceError::Setting { name: name.to_owned(), reason };
    for Dimension { name, condition, .. } in &remaining {
        let Some((other, values)) = condition else { continue };
        let Some(parent) = remaining.iter().find(|dimension| dimension.name == *other) else {
            return Err(error(name, format!("its condition names {other}, which is not in the space")));
        };
        let Some(known) = parent.values.listed() else {
            return Err(error(name, format!("its condition names {other}, whose values cannot be listed")));
        };
        if let Some(value) = values.iter().find(|value| !known.contains(value)) {
            return Err(error(name, format!("its condition is {other} = {value}, which {other} never is")));
        }
    }
    let mut ordered: Vec<Dimension> = Vec::new();
    while !remaining.is_empty() {
        let is_ready = |dimension: &Dimension| {
            let is_there = |(other, _): &(String, _)| ordered.iter().any(|earlier| earlier.name == *other);
            dimension.condition.as_ref().is_none_or(is_there)
        };
        let Some(next) = remaining.iter().position(is_ready) else {
            return Err(error(&remaining[0].name, "its condition depends on itself".to_owned()));
        };
        ordered.push(remaining.remove(next));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(file: &str) -> Result<Space, SpaceError> {
        Space::read(file, &TrainConfig::default())
    }

    fn message(file: &str) -> String {
        space(file).unwrap_err().to_string()
    }

    #[test]
    fn a_setting_has_a_range_or_values() {
        let space = space(
            "[learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n\
             [d_block]\nlow = 64\nhigh = 200\nstep = 64\n\
             [n_blocks]\nvalues = [1, 2]\n\
             [dropout]\nlow = 0\nhigh = 0.5\nwhen = { n_blocks = 2 }",
        )
        .unwrap();
        let values = |name: &str| {
            let dimension = space.dimensions().iter().find(|dimension| dimension.name == name).unwrap();
            dimension.values.clone()
        };
        assert_eq!(values("learning_rate"), Values::Real { low: 1e-4, high: 1e-2, is_log: true });
        assert_eq!(values("d_block"), Values::Integer { low: 64, high: 192, step: 64, is_log: false });
        assert_eq!(values("dropout"), Values::Real { low: 0.0, high: 0.5, is_log: false });
        let names: Vec<_> = space.dimensions().iter().map(|dimension| dimension.name.as_str()).collect();
        assert!(names.iter().position(|name| *name == "n_blocks") < names.iter().position(|name| *name == "dropout"));
    }

    #[test]
    fn combinations_are_counted_with_their_conditions() {
        let space =
            space("[n_blocks]\nvalues = [1, 2]\n[d_block]\nlow = 64\nhigh = 256\nstep = 64\nwhen = { n_blocks = [2] }")
                .unwrap();
        assert_eq!(space.combinations().unwrap().len(), 1 + 4);
        assert!(space.check_trials(5).is_ok());
        let error = space.check_trials(6).unwrap_err().to_string();
        assert!(error.contains("only 5 combinations") && error.ends_with("--trials 5"), "{error}");
    }

    #[test]
    fn a_wrong_space_is_refused_by_name() {
        assert!(message("").contains("empty"));
        assert!(message("[learning_rat]\nvalues = [0.1]").starts_with("[learning_rat] = 0.1: "));
        assert!(message("[k]\nlow = 4\nhigh = 4").contains("[k]: the range is empty"));
        assert!(message("[k]\nlow = 8\nhigh = 4").contains("the range is empty"));
        assert!(message("[k]\nlow = 0\nhigh = 4").contains("`k` must be"));
        assert!(message("[dropout]\nlow = 0.0\nhigh = 0.5\nlog = true").contains("above 0"));
        assert!(message("[dropout]\nlow = nan\nhigh = 0.5").contains("`low` must be a number"));
        assert!(message("[k]\nvalues = []").contains("`values` is empty"));
        assert!(message("[k]\nvalues = [1, 1]").contains("twice"));
        assert!(message("[k]\nlow = 1").contains("`low` and `high`"));
        assert!(message("[k]\nlow = 1\nhigh = 4\nmax = 5").contains("max"));
        assert!(
            message("[k]\nlow = 1\nhigh = 4\nwhen = { n_blocks = 1 }").contains("n_blocks, which is not in the space")
        );
        let circle = "[k]\nvalues = [1]\nwhen = { n_blocks = 1 }\n[n_blocks]\nvalues = [1]\nwhen = { k = 1 }";
        assert!(message(circle).contains("depends on itself"));
    }
}
