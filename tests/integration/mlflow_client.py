"""What MLflow's own client finds on a server.

mlflow_client.py URI run NUMBER prints a run of Probeg: its parameters, tags, histories of metrics and artifacts.
mlflow_client.py URI price MODEL LISTING_JSON prints the median price by a model such as models:/probeg-price@champion.
"""

import hashlib
import json
import os
import sys

import mlflow
from client import Encoder


def show_run(number):
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("probeg")
    # More than one would be too many.
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`probeg.run` = '{number}'")
    run_id = run.info.run_id
    histories = {
        key: [[point.step, point.value] for point in client.get_metric_history(run_id, key)]
        for key in run.data.metrics
    }
    folder = mlflow.artifacts.download_artifacts(run_id=run_id)
    files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
    artifacts = {}
    for path in files:
        with open(path, "rb") as file:
            content = file.read()
        artifacts[os.path.relpath(path, folder)] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "text": None if path.endswith(".onnx") else content.decode(),
        }
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    return {
        "run_id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "params": run.data.params,
        "tags": run.data.tags,
        "histories": histories,
        "artifacts": artifacts,
        "models": [[version.name, version.version, version.tags] for version in versions],
    }


def price(model, listing):
    loaded = mlflow.pyfunc.load_model(model)
    encoder = Encoder(loaded.get_raw_model().get_modelmeta().custom_metadata_map)
    return encoder.median(loaded.predict(encoder.inputs(listing))["price_quantiles"])


mlflow.set_tracking_uri(sys.argv[1])
if sys.argv[2] == "run":
    print(json.dumps(show_run(sys.argv[3])))
else:
    print(price(sys.argv[3], json.loads(sys.argv[4])))
