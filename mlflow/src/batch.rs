//! Parameters, tags and metrics in batches of the sizes that MLflow accepts.

use serde::Serialize;
use serde_json::{Value, json};

/// The maximum number of metrics in a batch, and of all items together.
const MAX_ITEMS: usize = 1000;
/// The maximum number of parameters in a batch, and of tags.
const MAX_ENTRIES: usize = 100;
/// The maximum size of a request in bytes, with some room below MLflow's million.
const MAX_BYTES: usize = 900_000;

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) key: String,
    pub(crate) value: f64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) step: i64,
}

/// A parameter or a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What one request carries: the parameters, the tags and the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Batch {
    params: Vec<Value>,
    tags: Vec<Value>,
    metrics: Vec<Value>,
    bytes: usize,
}

/// One of the lists of a batch, with the maximum of its length.
type List = (fn(&mut Batch) -> &mut Vec<Value>, usize);

const PARAMS: List = (|batch| &mut batch.params, MAX_ENTRIES);
const TAGS: List = (|batch| &mut batch.tags, MAX_ENTRIES);
const METRICS: List = (|batch| &mut batch.metrics, MAX_ITEMS);

impl Metric {
    fn to_json(&self) -> Value {
        json!({ "key": self.key, "value": number(self.value), "timestamp": self.timestamp, "step": self.step })
    }
}

impl Batch {
    /// The body of the request.
    pub(crate) fn body(&self, run: &str) -> Value {
        json!({ "run_id": run, "params": self.params, "tags": self.tags, "metrics": self.metrics })
    }

    fn len(&self) -> usize {
        self.params.len() + self.tags.len() + self.metrics.len()
    }
}

/// Distributes items among as few batches as possible, in order.
pub(crate) fn batches(params: &[Entry], tags: &[Entry], metrics: &[Metric]) -> Vec<Batch> {
    let params = params.iter().map(|param| (PARAMS, json!(param)));
    let tags = tags.iter().map(|tag| (TAGS, json!(tag)));
    let metrics = metrics.iter().map(|metric| (METRICS, metric.to_json()));
    let (mut full, mut batch) = (Vec::new(), Batch::default());
    for ((list, max), item) in params.chain(tags).chain(metrics) {
        // And a comma.
        let bytes = item.to_string().len() + 1;
        if list(&mut batch).len() == max || batch.len() == MAX_ITEMS || batch.bytes + bytes > MAX_BYTES {
            full.push(std::mem::take(&mut batch));
        }
        list(&mut batch).push(item);
        batch.bytes += bytes;
    }
    if batch.len() > 0 {
        full.push(batch);
    }
    full
}

/// A number of MLflow's JSON, which has strings for those that JSON lacks.
fn number(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: usize, length: usize) -> Vec<Entry> {
        (0..count).map(|number| Entry { key: format!("key{number}"), value: "я".repeat(length) }).collect()
    }

    fn metrics(count: i64) -> Vec<Metric> {
        (0..count).map(|step| Metric { key: "loss".to_owned(), value: 0.5, timestamp: 1, step }).collect()
    }

    fn counts(batches: &[Batch]) -> Vec<[usize; 3]> {
        batches.iter().map(|batch| [batch.params.len(), batch.tags.len(), batch.metrics.len()]).collect()
    }

    #[test]
    fn a_batch_has_at_most_a_thousand_items_and_a_hundred_of_a_kind() {
        assert!(batches(&[], &[], &[]).is_empty());
        assert_eq!(counts(&batches(&entries(3, 1), &entries(2, 1), &metrics(995))), [[3, 2, 995]]);
        assert_eq!(counts(&batches(&entries(3, 1), &entries(2, 1), &metrics(996))), [[3, 2, 995], [0, 0, 1]]);
        assert_eq!(
            counts(&batches(&entries(201, 1), &[], &metrics(1001))),
            [[100, 0, 0], [100, 0, 0], [1, 0, 999], [0, 0, 2]]
        );
        assert_eq!(counts(&batches(&[], &entries(101, 1), &metrics(1))), [[0, 100, 0], [0, 1, 1]]);
    }

    #[test]
    fn a_request_has_less_than_a_million_bytes_and_every_item_is_in_one() {
        let tags = entries(150, 8000);
        let batches = batches(&[], &tags, &metrics(1500));
        let sent: Vec<&Value> = batches.iter().flat_map(|batch| &batch.tags).collect();
        assert_eq!(sent, tags.iter().map(|tag| json!(tag)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert_eq!(batches.iter().map(|batch| batch.metrics.len()).sum::<usize>(), 1500);
        for batch in &batches {
            assert!(batch.body("0123456789abcdef0123456789abcdef").to_string().len() < 1_000_000);
        }
    }

    #[test]
    fn numbers_that_json_lacks_are_strings() {
        let number = |value| Metric { key: "loss".to_owned(), value, timestamp: 1, step: 2 }.to_json()["value"].clone();
        assert_eq!(number(0.1), json!(0.1));
        assert_eq!(number(f64::NAN), json!("NaN"));
        assert_eq!(number(f64::INFINITY), json!("Infinity"));
        assert_eq!(number(f64::NEG_INFINITY), json!("-Infinity"));
    }
}
