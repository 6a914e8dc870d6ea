//! The outcome of valuing a row with a known price.

/// A valued row with a known asking price.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The asking price.
    pub(crate) actual: f64,
    /// The predicted price (the median).
    pub(crate) predicted: f64,
    /// Lower end of the 80 % interval.
    pub(crate) low: f64,
    /// Upper end of the 80 % interval.
    pub(crate) high: f64,
    /// The segments that the row belongs to: (family, name), such as ("brand", "kia").
    pub(crate) segments: Vec<(&'static str, String)>,
}

impl Outcome {
    pub(crate) fn ratio(&self) -> f64 {
        self.predicted / self.actual
    }

    pub(super) fn absolute_percentage_error(&self) -> f64 {
        ((self.predicted - self.actual) / self.actual).abs()
    }

    pub(crate) fn is_covered(&self) -> bool {
        (self.low..=self.high).contains(&self.actual)
    }
}

/// The mean of values, of which there is at least one.
pub(crate) fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let rows = count(values.len());
    values.sum::<f64>() / rows
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
pub(crate) fn count(rows: usize) -> f64 {
    rows as f64
}
