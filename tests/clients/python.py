"""Calls every operation of a server with the client that openapi-python-client generates: python.py CLIENT_FOLDER ADDRESS TOKEN WORKBOOK."""

import importlib
import io
import json
import pathlib
import sys
import time

folder, address, token, workbook = sys.argv[1:]
sys.path.insert(0, folder)

from probeg_client import AuthenticatedClient, Client  # noqa: E402
from probeg_client.models import (  # noqa: E402
    GetSuggestionsField,
    LenientListing,
    Listing,
    PredecessorListing,
    Promotion,
    WorkbookForm,
)
from probeg_client.types import File  # noqa: E402

document = json.loads((pathlib.Path(folder) / "openapi.json").read_text())
client = Client(base_url=address, raise_on_unexpected_status=True)
admin = AuthenticatedClient(base_url=address, token=token, raise_on_unexpected_status=True)
called = set()


def call(tag, operation, *arguments, client=client, **parameters):
    """The response of an operation, which must succeed."""
    module = importlib.import_module(f"probeg_client.api.{tag}.{operation}")
    response = module.sync_detailed(*arguments, client=client, **parameters)
    assert 200 <= response.status_code < 300, f"{operation}: {response.status_code} {response.content[:500]}"
    called.add(operation)
    return response


def file():
    return WorkbookForm(file=File(payload=io.BytesIO(pathlib.Path(workbook).read_bytes()), file_name="cars.xlsx"))


car = Listing.from_dict({"brand": "Kia", "model": "Rio", "year": 2018, "mileage": 83000, "listing_date": "2026-03-17"})
loose = {"brand": "Киа", "model": "Рио", "year": "2018 г.", "mileage": "83 тыс"}

valued = call("valuations", "value_one", body=car, level=0.9, explain=True, comparables=3, narrow=True, curves=True).parsed
assert valued.low < valued.price < valued.high and valued.factors, valued
assert call("valuations", "value_one_leniently", body=LenientListing.from_dict(loose)).parsed.price > 0
batch = call("valuations", "value_batch", body=[car, car]).parsed
assert len(batch) == 2 and batch[0].price == batch[1].price, batch
assert call("valuations", "value_workbook", body=file()).content.startswith(b"PK")
checked = call("valuations", "check_workbook", body=file()).parsed
assert checked.valuable == 1 and checked.columns[0].column == "brand", checked
assert call("valuations", "get_template").content.startswith(b"PK")

job = call("valuations", "start_job", body=file()).parsed
while call("valuations", "get_job", job.id).parsed.state == "running":
    time.sleep(0.05)
assert call("valuations", "get_result", job.id).content.startswith(b"PK")
call("valuations", "end_job", job.id)

assert call("valuations", "get_vocabulary", brand="kia").parsed
call("valuations", "get_suggestions", field=GetSuggestionsField.BRAND, text="ки")
call("valuations", "get_versions", brand="kia", model="rio")
call("predecessor", "get_sale_prediction_for_one_car", body=PredecessorListing.from_dict(car.to_dict()))
assert call("predecessor", "get_sale_prediction_for_multiple_cars", body=file()).content.startswith(b"PK")

assert call("models", "list_tasks").parsed
version = call("models", "get_champion").parsed.version
assert version == call("models", "get_model", "latest").parsed.version
call("models", "list_models")
call("models", "promote_model", client=admin, body=Promotion(version=version))
call("models", "rollback_model", client=admin)
call("models", "promote_model", client=admin, body=Promotion(version=version))
assert len(call("models", "list_changes").parsed) >= 3
served = call("models", "get_served", at="2100-01-01T00:00").parsed
assert served.model.version == version and served.run.data.rows > 0, served

market = call("market", "get_market", brand="kia").parsed
assert market.listings > 0 and market.recent and market.names, market
while (report := call("market", "get_report")).status_code == 202:
    time.sleep(0.05)
assert report.content.startswith(b"<!DOCTYPE html>")

run = call("runs", "list_runs", status="completed", sort="version").parsed[0].id
call("runs", "get_run", run)
assert call("runs", "get_run_metrics", run).parsed is not None
call("runs", "get_run_figures", run)
assert call("runs", "get_run_log", run).parsed[-1].message == "completed"
residuals = call("runs", "get_run_residuals", run).parsed
assert residuals.rows > 0 and residuals.by_age[0].quantiles, residuals
sweep = call("runs", "list_sweeps").parsed[0]
assert call("runs", "get_sweep", sweep.name).parsed.results[0].number == 1
for operation in ("get_live", "get_ready", "get_metrics"):
    call("operations", operation)

operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
assert called == operations, f"not called: {operations - called}; unknown: {called - operations}"
print(f"called {len(called)} operations")
