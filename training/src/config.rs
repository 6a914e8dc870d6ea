//! The configuration of a run, which determines its result.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// The kind of model that a run trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// An ensemble of neural networks.
    #[default]
    Network,
    /// A ridge regression on the same encoded inputs, which is fitted in seconds: the floor that a network must beat.
    Linear,
}

/// Hyperparameters, named as in the `TabM` paper (arXiv 2410.24210) where possible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each disables a different part of a run")]
pub struct TrainConfig {
    /// The kind of model. Those hyperparameters that only a network has do not affect a linear model.
    pub family: Family,
    /// The seed of the initial weights, the shuffling, the masking and the dropout.
    pub seed: u64,
    /// The number of ensemble members: independent networks, averaged in the graph.
    pub k: usize,
    /// The number of hidden layers per member.
    pub n_blocks: usize,
    /// The width of a hidden layer.
    pub d_block: usize,
    /// The width of a category embedding.
    pub d_embedding: usize,
    /// The number of bins of the piecewise-linear encoding of a number.
    pub n_bins: usize,
    /// The width of a numeric embedding.
    pub d_numeric: usize,
    /// The dropout rate of the hidden layers.
    pub dropout: f64,
    /// The share of rows reduced to a random form in a training step, so that the network learns to value incomplete listings.
    pub mask: f64,
    /// The share of categories that are independently replaced by unknown in a training step.
    pub category_dropout: f64,
    /// The decoupled weight decay of `AdamW`.
    pub weight_decay: f32,
    /// The peak learning rate, reached after the warm-up; cosine annealing then reduces it to 0.
    pub learning_rate: f64,
    /// The share of all steps for the linear warm-up of the learning rate.
    pub warmup: f64,
    /// The maximum norm of the gradient of a parameter.
    pub gradient_clip: f32,
    /// The decay per step of the exponential moving average of the weights, which is what is exported.
    pub ema: f64,
    /// The number of listings per step.
    pub batch_size: usize,
    /// The maximum number of epochs; by default as many as suit the number of listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// The number of epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// The minimum number of occurrences of a text for the vocabulary.
    pub min_count: u64,
    /// The maximum vocabulary size of a categorical feature; the most frequent texts are kept.
    pub max_vocabulary: usize,
    /// The memory budget of the process, such as `"512MiB"`. It determines the size of the shuffle buffer, so a different budget
    /// gives a different order.
    pub memory: ByteSize,
    /// The number of listings in the shuffle buffer; by default as many as fit into the memory, up to a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_rows: Option<usize>,
    /// Whether training listings are shuffled; otherwise they are in table order, as a control experiment.
    pub shuffle: bool,
    /// Whether encoded listings are cached in a local file, so that the database is not read in every epoch. The result is the
    /// same.
    pub spool: bool,
    /// Whether the final network is trained again on the training and validation splits together, for the best number of
    /// epochs, after early stopping and calibration on the validation split.
    pub refit: bool,
    /// Whether a smaller model is also trained without the newest listings and evaluated on them.
    pub backtest: bool,
    /// The levels of the predicted quantiles, ascending and symmetric around 0.5.
    pub quantiles: Vec<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            family: Family::Network,
            seed: 0,
            k: 4,
            n_blocks: 2,
            d_block: 192,
            d_embedding: 16,
            n_bins: 64,
            d_numeric: 12,
            dropout: 0.0,
            mask: 0.7,
            category_dropout: 0.0,
            weight_decay: 0.01,
            learning_rate: 3e-3,
            warmup: 0.03,
            gradient_clip: 1.0,
            ema: 0.998,
            batch_size: 512,
            epochs: None,
            patience: 5,
            min_count: 3,
            max_vocabulary: 20_000,
            memory: ByteSize::mib(512),
            shuffle_rows: None,
            shuffle: true,
            spool: true,
            refit: true,
            backtest: true,
            quantiles: vec![0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95],
        }
    }
}

/// An invalid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or a setting is not valid TOML, or has an unknown key or a value of the wrong type.
    #[error("the training configuration cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A setting that TOML cannot express.
    #[error("the training configuration cannot be written: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// A setting without `=`.
    #[error("`--set {0}` must be of the form key=value, such as `--set epochs=10`")]
    Setting(String),
    /// A value outside its bounds.
    #[error("`{key}` must be {bounds}, but is {value}")]
    OutOfRange {
        /// The hyperparameter.
        key: &'static str,
        /// The accepted values.
        bounds: &'static str,
        /// The actual value.
        value: String,
    },
}

impl TrainConfig {
    /// Reads a configuration: settings of the form `key=value` override a TOML file, which overrides the defaults.
    ///
    /// # Errors
    /// Unknown keys, values of the wrong type, and values out of range.
    pub fn read(file: Option<&str>, settings: &[String]) -> Result<Self, ConfigError> {
        let mut table: toml::Table = toml::from_str(file.unwrap_or_default())?;
        for setting in settings {
            let (key, value) = setting.split_once('=').ok_or_else(|| ConfigError::Setting(setting.clone()))?;
            let parsed: toml::Table = toml::from_str(&format!("value = {}", value.trim()))?;
            table.extend(parsed.into_iter().map(|(_, value)| (key.trim().to_owned(), value)));
        }
        let config: Self = table.try_into()?;
        config.check()?;
        Ok(config)
    }

    /// The same configuration with other values of some settings.
    ///
    /// # Errors
    /// Unknown keys, values of the wrong type, and values out of range.
    pub fn with_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a String, &'a toml::Value)>,
    ) -> Result<Self, ConfigError> {
        let mut table = toml::Table::try_from(self)?;
        table.extend(settings.into_iter().map(|(key, value)| (key.clone(), value.clone())));
        let config: Self = table.try_into()?;
        config.check()?;
        Ok(config)
    }

    /// The same configuration with the number of epochs for this many training listings, if it is open.
    #[must_use]
    pub fn for_rows(self, rows: u64) -> Self {
        Self { epochs: Some(self.epochs.unwrap_or_else(|| epochs_for(rows))), ..self }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let count = |key, value: usize, max: usize| {
            let bounds = "a positive integer within a reasonable limit";
            require(key, bounds, &value, (1..=max).contains(&value))
        };
        count("k", self.k, 64)?;
        count("n_blocks", self.n_blocks, 16)?;
        count("d_block", self.d_block, 8192)?;
        count("d_embedding", self.d_embedding, 1024)?;
        count("n_bins", self.n_bins, 1024)?;
        count("d_numeric", self.d_numeric, 1024)?;
        count("batch_size", self.batch_size, 65_536)?;
        count("epochs", self.epochs.unwrap_or(1), 100_000)?;
        count("patience", self.patience, 100_000)?;
        count("max_vocabulary", self.max_vocabulary, 1_000_000)?;
        if let Some(rows) = self.shuffle_rows {
            count("shuffle_rows", rows, 1 << 28)?;
        }
        let share = |key, value: f64| require(key, "at least 0 and below 1", &value, (0.0..1.0).contains(&value));
        share("dropout", self.dropout)?;
        share("mask", self.mask)?;
        share("category_dropout", self.category_dropout)?;
        share("warmup", self.warmup)?;
        share("ema", self.ema)?;
        let positive = |key, value: f64| require(key, "above 0 and finite", &value, value > 0.0 && value.is_finite());
        positive("learning_rate", self.learning_rate)?;
        positive("gradient_clip", f64::from(self.gradient_clip))?;
        require("weight_decay", "at least 0 and below 1", &self.weight_decay, (0.0..1.0).contains(&self.weight_decay))?;
        self.check_quantiles()
    }

    fn check_quantiles(&self) -> Result<(), ConfigError> {
        let levels = &self.quantiles;
        let is_inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        let is_ascending = levels.windows(2).all(|pair| pair[0] < pair[1]);
        let is_symmetric = levels.iter().zip(levels.iter().rev()).all(|(low, high)| (low + high - 1.0).abs() < 1e-9);
        // Accuracy cards and valuations use the 80 % interval.
        let has_80 = levels.iter().any(|level| (level - 0.1).abs() < 1e-9);
        require(
            "quantiles",
            "ascending levels between 0 and 1, symmetric around 0.5, including 0.1, 0.5 and 0.9",
            &format!("{levels:?}"),
            is_inside && is_ascending && is_symmetric && levels.len() % 2 == 1 && has_80,
        )
    }
}

/// The number of epochs for this many training listings. More listings need more steps but fewer epochs: both change with their
/// square root.
fn epochs_for(rows: u64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "row counts are far below 2^52, and the result is in a small range"
    )]
    {
        (52.0 * (60_000.0 / rows.max(1) as f64).sqrt()).round().clamp(10.0, 200.0) as usize
    }
}

fn require(
    key: &'static str,
    bounds: &'static str,
    value: &dyn std::fmt::Display,
    holds: bool,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::OutOfRange { key, bounds, value: value.to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_override_the_file_and_the_file_overrides_the_defaults() {
        let config = TrainConfig::read(Some("epochs = 3\nk = 2"), &["k=1".into(), "dropout=0.2".into()]).unwrap();
        assert_eq!((config.epochs, config.k, config.dropout), (Some(3), 1, 0.2));
        assert_eq!(config.n_bins, TrainConfig::default().n_bins);
    }

    #[test]
    fn more_listings_get_fewer_epochs_unless_they_are_set() {
        let epochs = |settings: &[String], rows| TrainConfig::read(None, settings).unwrap().for_rows(rows).epochs;
        assert_eq!([300, 60_000, 240_000, 10_000_000].map(|rows| epochs(&[], rows)), [200, 52, 26, 10].map(Some));
        assert_eq!(epochs(&["epochs=7".to_owned()], 60_000), Some(7));
    }

    #[test]
    fn invalid_settings_are_reported() {
        let message = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
            TrainConfig::read(None, &settings).unwrap_err().to_string()
        };
        assert!(message(&["epoch=3"]).contains("epoch"));
        assert!(message(&["epochs"]).contains("key=value"));
        assert!(message(&["k=0"]).contains("`k` must be"));
        assert!(message(&["dropout=1"]).contains("dropout"));
        assert!(message(&["quantiles=[0.5, 0.1, 0.9]"]).contains("ascending"));
    }
}
