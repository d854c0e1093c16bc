"""Reads a file store with MLflow's own client, and prints its experiments and runs as JSON.

Usage: mlflow_runs.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_TRACKING_URI"] = Path(sys.argv[1]).resolve().as_uri()
# Recent versions reject file stores unless this is set.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.tracking import MlflowClient  # noqa: E402

client = MlflowClient()
found = []
for experiment in client.search_experiments():
    runs = []
    for run in client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]):
        history = {
            name: [
                {"step": metric.step, "value": metric.value, "at": metric.timestamp}
                for metric in client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }
        artifacts = [item.path for item in client.list_artifacts(run.info.run_id)]
        model = next((path for path in artifacts if path.endswith(".tflite")), None)
        runs.append(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "start": run.info.start_time,
                "end": run.info.end_time,
                "params": run.data.params,
                "tags": run.data.tags,
                "history": history,
                "artifacts": sorted(artifacts),
                "bytes": None
                if model is None
                else Path(client.download_artifacts(run.info.run_id, model)).stat().st_size,
            }
        )
    best = client.search_runs(
        [experiment.experiment_id], order_by=["metrics.valAccuracy DESC"], max_results=1
    )
    found.append({"name": experiment.name, "runs": runs, "best": best[0].info.run_name if best else None})
print(json.dumps(found))
