//! The configuration of a run: every number that a result depends on.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Hyper-parameters, named as in the paper of `TabM` (arXiv 2410.24210) where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each turns another part of a run off")]
pub struct TrainConfig {
    /// Seed of initial weights, order, masks and dropout.
    pub seed: u64,
    /// Ensemble members: independent networks, averaged in the graph.
    pub k: usize,
    /// Hidden layers of a member.
    pub n_blocks: usize,
    /// Width of a hidden layer.
    pub d_block: usize,
    /// Width of a category's embedding.
    pub d_embedding: usize,
    /// Bins of the piecewise-linear encoding of a number.
    pub n_bins: usize,
    /// Width of a number's embedding.
    pub d_numeric: usize,
    /// Share of hidden units dropped at a training step.
    pub dropout: f64,
    /// Share of known values that are hidden from the network at a training step, so that it learns to do without them.
    pub mask: f64,
    /// Share of categories that are unknown to the network at a training step, each on its own.
    pub category_dropout: f64,
    /// Decoupled weight decay of `AdamW`.
    pub weight_decay: f32,
    /// Peak of the learning rate, reached after the warm-up, falling to 0 as a cosine.
    pub learning_rate: f64,
    /// Share of all steps over which the learning rate rises.
    pub warmup: f64,
    /// Largest norm of a parameter's gradient.
    pub gradient_clip: f32,
    /// Decay per step of the averaged weights (EMA), which are the ones exported.
    pub ema: f64,
    /// Listings per step.
    pub batch_size: usize,
    /// The most passes over the training split.
    pub epochs: usize,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// How often a text must occur to get an id.
    pub min_count: u64,
    /// The most ids of a categorical feature, for its most frequent texts.
    pub max_vocabulary: usize,
    /// Memory that the process may take, such as `"512MiB"`. It decides how many listings are shuffled together, so
    /// another budget is another order.
    pub memory: ByteSize,
    /// Listings in the shuffle buffer; by default as many as fit into the memory and make a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle_rows: Option<usize>,
    /// Whether training listings are shuffled. Without, they come in the order of the table: a control to compare the
    /// shuffle with.
    pub shuffle: bool,
    /// Whether encoded listings are kept in a file on the local disk, so that the database need not be read in every
    /// epoch. Changes nothing about the result.
    pub spool: bool,
    /// Whether the network is trained again, for as many epochs as were best, on the training and the validation split
    /// together, once the latter has served for early stopping and calibration.
    pub refit: bool,
    /// Whether a smaller model is also trained without the newest listings and measured on them.
    pub backtest: bool,
    /// Levels of the predicted quantiles: rising, symmetric around 0.5.
    pub quantiles: Vec<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            k: 4,
            n_blocks: 2,
            d_block: 192,
            d_embedding: 16,
            n_bins: 32,
            d_numeric: 12,
            dropout: 0.0,
            mask: 0.03,
            category_dropout: 0.05,
            weight_decay: 0.1,
            learning_rate: 3e-3,
            warmup: 0.03,
            gradient_clip: 1.0,
            ema: 0.998,
            batch_size: 512,
            epochs: 30,
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

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or a setting is not TOML or has an unknown key or a value of the wrong type.
    #[error("the training configuration cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A setting without `=`.
    #[error("`--set {0}` must be of the form key=value, such as `--set epochs=10`")]
    Setting(String),
    /// A value outside its bounds.
    #[error("`{key}` must be {bounds}, but is {value}")]
    OutOfRange {
        /// The hyper-parameter.
        key: &'static str,
        /// What it may be.
        bounds: &'static str,
        /// What it is.
        value: String,
    },
}

impl TrainConfig {
    /// Reads a configuration: defaults, overlaid with the text of a TOML file, overlaid with
    /// settings of the form `key=value`.
    ///
    /// # Errors
    /// On unknown keys, values of the wrong type, and values outside their bounds.
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

    fn check(&self) -> Result<(), ConfigError> {
        let count = |key, value: usize, most: usize| {
            let bounds = "a whole number of at least 1 and of a sensible size";
            require(key, bounds, &value, (1..=most).contains(&value))
        };
        count("k", self.k, 64)?;
        count("n_blocks", self.n_blocks, 16)?;
        count("d_block", self.d_block, 8192)?;
        count("d_embedding", self.d_embedding, 1024)?;
        count("n_bins", self.n_bins, 1024)?;
        count("d_numeric", self.d_numeric, 1024)?;
        count("batch_size", self.batch_size, 65_536)?;
        count("epochs", self.epochs, 100_000)?;
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
        let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        let rising = levels.windows(2).all(|pair| pair[0] < pair[1]);
        let symmetric = levels.iter().zip(levels.iter().rev()).all(|(low, high)| (low + high - 1.0).abs() < 1e-9);
        // Accuracy cards and answers are for the 80 % interval.
        let has_80 = levels.iter().any(|level| (level - 0.1).abs() < 1e-9);
        require(
            "quantiles",
            "rising levels between 0 and 1, symmetric around 0.5, with 0.1, 0.5 and 0.9 among them",
            &format!("{levels:?}"),
            inside && rising && symmetric && levels.len() % 2 == 1 && has_80,
        )
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
    fn settings_go_over_the_file_and_the_file_over_the_defaults() {
        let config = TrainConfig::read(Some("epochs = 3\nk = 2"), &["k=1".into(), "dropout=0.2".into()]).unwrap();
        assert_eq!((config.epochs, config.k, config.dropout), (3, 1, 0.2));
        assert_eq!(config.n_bins, TrainConfig::default().n_bins);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
            TrainConfig::read(None, &settings).unwrap_err().to_string()
        };
        assert!(message(&["epoch=3"]).contains("epoch"));
        assert!(message(&["epochs"]).contains("key=value"));
        assert!(message(&["k=0"]).contains("`k` must be"));
        assert!(message(&["dropout=1"]).contains("dropout"));
        assert!(message(&["quantiles=[0.5, 0.1, 0.9]"]).contains("rising"));
    }
}
