//! The files of a run: its log, and the model with its accuracy card.

use chrono::SecondsFormat;
use serde_json::json;
use storage::{LogLine, ModelRecord};

use crate::error::{Error, Result};
use crate::tracking::Tracking;

/// The folder of the model.
pub(crate) const MODEL: &str = "model";
/// The version of MLflow whose format the folder of the model has.
const MLFLOW_VERSION: &str = "3.0.0";
/// The scheme of artifacts that the server stores.
const SCHEME: &str = "mlflow-artifacts:";

/// A file and its path among the artifacts of a run.
pub(crate) type File = (String, Vec<u8>);

/// Stores a file with the artifacts of a run.
pub(crate) fn upload(tracking: &Tracking, artifacts: &str, (path, bytes): File) -> Result<()> {
    let root = root(artifacts).ok_or_else(|| Error::ArtifactsElsewhere(artifacts.to_owned()))?;
    tracking.client.upload(&format!("{root}/{path}"), &bytes)
}

/// The path on the server at which artifacts are stored; `None` if clients store them elsewhere.
fn root(uri: &str) -> Option<&str> {
    let path = uri.strip_prefix(SCHEME)?;
    let path = match path.strip_prefix("//") {
        // After the host.
        Some(rest) => rest.split_once('/')?.1,
        None => path,
    };
    Some(path.trim_matches('/'))
}

/// The log as text.
pub(crate) fn log_file(lines: &[LogLine]) -> File {
    let line = |line: &LogLine| format!("{} {}\n", line.at.to_rfc3339_opts(SecondsFormat::Millis, true), line.message);
    ("log.txt".to_owned(), lines.iter().map(line).collect::<String>().into_bytes())
}

/// The model and its accuracy card.
pub(crate) fn model_files(model: &ModelRecord, bytes: Vec<u8>, run: &str) -> [File; 4] {
    let card = format!("{:#}\n", model.accuracy).into_bytes();
    [
        ("card.json".to_owned(), card),
        (format!("{MODEL}/MLmodel"), description(model, run).into_bytes()),
        (format!("{MODEL}/requirements.txt"), b"mlflow\nonnx\nonnxruntime\n".to_vec()),
        (format!("{MODEL}/model.onnx"), bytes),
    ]
}

/// MLflow's description of the model, in YAML, of which JSON is a part.
fn description(model: &ModelRecord, run: &str) -> String {
    let tensor = |name: &str, kind: &str| json!({ "name": name, "type": "tensor", "tensor-spec": { "dtype": kind, "shape": [-1, -1] } });
    let inputs = json!([tensor("categorical", "int64"), tensor("numeric", "float32")]).to_string();
    let outputs = json!([tensor("price_quantiles", "float32")]).to_string();
    let description = json!({
        "artifact_path": MODEL,
        "flavors": {
            "onnx": { "code": null, "data": "model.onnx", "onnx_version": "1.16.0", "providers": ["CPUExecutionProvider"] },
            "python_function": { "data": "model.onnx", "loader_module": "mlflow.onnx" },
        },
        "mlflow_version": MLFLOW_VERSION,
        "model_size_bytes": model.size,
        "run_id": run,
        "signature": { "inputs": inputs, "outputs": outputs, "params": null },
        "utc_time_created": model.created_at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
    });
    format!("{description:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifacts_that_the_server_stores_have_a_path() {
        assert_eq!(root("mlflow-artifacts:/1/abc/artifacts"), Some("1/abc/artifacts"));
        assert_eq!(root("mlflow-artifacts://host:5000/1/abc/artifacts"), Some("1/abc/artifacts"));
        for elsewhere in ["s3://bucket/1/abc/artifacts", "/mlruns/1/abc/artifacts", "file:///mlruns/1"] {
            assert_eq!(root(elsewhere), None, "{elsewhere}");
        }
    }
}
