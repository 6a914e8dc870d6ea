"""Trains Probeg and the same network in PyTorch on the same listings and compares speed and memory."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Iterable

import numpy
import onnxruntime
import pandas

from cluster import Cluster
from listings import FIELDS, SHORT_FORMS, Listings, read_listings
from probeg import Cost, Probeg, find_program, run_measured

EXAMPLE = "Example: bench/training listings.csv.gz --epochs 3"
# Probeg is compared with the better of these in each figure.
THREADS = (1, 2)
# Never masked: a valuation always has them.
ALWAYS_KNOWN = {"age", "listing_date", "mileage", "year"}
# A lower mileage per year, after these years, is missing: a placeholder. As in training/src/model/derived.rs.
MIN_MILEAGE_PER_YEAR, NEW_FOR_YEARS = 300, 2
# Among the categorical features.
MODEL, GENERATION = 1, 2


@dataclass(frozen=True)
class Measured:
    """The costs of a run of all epochs and of a run of one, and the losses."""

    name: str
    short: Cost
    long: Cost
    rows_per_second: float
    validation_losses: list[float]

    def cpu_seconds_per_epoch(self, epochs: int) -> float:
        """Epochs only: everything else is in both runs and cancels out."""
        return (self.long.cpu_seconds - self.short.cpu_seconds) / (epochs - 1)


def main() -> None:
    """The command `bench/training`."""
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="probeg-training-") as folder, Cluster() as cluster:
        scratch = Path(folder)
        probeg = Probeg(find_program(options.probeg), cluster.create_database("listings"))
        probeg.import_file(head_of(options.file, options.rows, scratch), scratch)
        own, run, version = measure_probeg(probeg, options.set, options.epochs)
        probeg.export(version, scratch / "model.onnx")
        listings = read_listings(probeg.database)
        rows = write_rows(listings, model_schema(scratch / "model.onnx"), scratch / "rows.npz")
        config = {**run["config"], "batch_size": batch_size(run["config"], rows)}
        references = [measure_twin(scratch / "rows.npz", config, options.epochs, threads) for threads in THREADS]
    print(f"{rows:,} training listings, batch size {config['batch_size']}, k = {config['k']}")
    report(own, references, rows, options)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/training", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV or CSV.gz")
    parser.add_argument("--rows", type=int, help="use only the first rows of the file")
    parser.add_argument("--epochs", type=int, default=3, help="number of epochs, at least 2 (default: 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to `probeg train`")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: figures per epoch are the difference of two runs")
    return options


def head_of(file: Path, rows: int | None, scratch: Path) -> Path:
    """The file, or a copy of its first rows."""
    if rows is None:
        return file
    pandas.read_csv(file, dtype=str, keep_default_na=False, nrows=rows).to_csv(scratch / "head.csv", index=False)
    return scratch / "head.csv"


def measure_probeg(probeg: Probeg, settings: list[str], epochs: int) -> tuple[Measured, dict[str, Any], int]:
    """Two runs of Probeg, with one epoch and with all."""
    settings = [*settings, "backtest=false", "refit=false"]
    _, short = probeg.train([*settings, "epochs=1"])
    trained, long = probeg.train([*settings, f"epochs={epochs}", f"patience={epochs}"])
    run = probeg.show_run(trained["run"])
    metrics = [epoch["metrics"] for epoch in run["epochs"]]
    return measured("Probeg", short, long, metrics), run, trained["version"]


def measure_twin(rows: Path, config: dict[str, Any], epochs: int, threads: int) -> Measured:
    """Two runs of the PyTorch side, with one epoch and with all."""
    # No OpenBLAS workarounds, which would slow the reference, and passive waiting: on a busy machine, spinning threads
    # would waste most of their time.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    environment["OMP_WAIT_POLICY"] = "passive"
    program = [sys.executable, str(Path(__file__).with_name("twin.py")), str(rows)]
    outputs = [
        run_measured([*program, json.dumps({**config, "epochs": count}), str(threads)], environment)
        for count in (1, epochs)
    ]
    (_, short), (output, long) = outputs
    return measured(f"PyTorch, threads: {threads}", short, long, json.loads(output)["epochs"])


def measured(name: str, short: Cost, long: Cost, epochs: list[dict[str, float]]) -> Measured:
    """Takes the speed of the fastest epoch, since other work on the machine can only slow it down."""
    fastest = max(epoch["rows_per_second"] for epoch in epochs)
    return Measured(name, short, long, fastest, [epoch["validation_loss"] for epoch in epochs])


def model_schema(file: Path) -> list[dict[str, Any]]:
    """Reads the categorical features with their vocabularies from a model file."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return json.loads(session.get_modelmeta().custom_metadata_map["probeg.schema"])["categorical"]


def write_rows(listings: Listings, categorical: list[dict[str, Any]], file: Path) -> int:
    """Writes both splits in encoded form for PyTorch; returns the number of training rows."""
    arrays: dict[str, numpy.ndarray] = {
        "cardinalities": numpy.array([len(feature["values"]) for feature in categorical]),
        "short_forms": numpy.array(SHORT_FORMS),
        "category_fields": fields_of([feature["columns"] for feature in categorical]),
        # The text itself comes after those that make it unique.
        "category_names": fields_of([feature["columns"][-1:] for feature in categorical]),
    }
    for name, buckets in {"train": (0, 79), "validation": (80, 89)}.items():
        part = listings.between_buckets(*buckets)
        others = [name for name in part.numbers if name not in {"year", "mileage"}]
        numbers = part.features()[["year", *others, "age", "mileage"]]
        is_implausible = numbers["mileage"] < (numbers["age"] - NEW_FOR_YEARS) * MIN_MILEAGE_PER_YEAR
        numbers = numbers.assign(mileage=numbers["mileage"].mask(is_implausible))
        arrays[f"{name}_ids"] = numpy.stack([ids(part.table, feature) for feature in categorical], axis=1)
        arrays[f"{name}_numbers"] = numbers.to_numpy(numpy.float32)
        arrays[f"{name}_prices"] = numpy.log(part.prices).astype(numpy.float32)
        arrays["number_fields"] = fields_of([{column} - ALWAYS_KNOWN for column in numbers])
    first_year, generations = usual_generations(arrays["train_ids"], arrays["train_numbers"][:, 0], arrays["cardinalities"])
    arrays |= {"first_year": numpy.array(first_year), "generations": generations}
    numpy.savez(file, **arrays)
    return len(arrays["train_prices"])


def fields_of(inputs: Iterable[Collection[str]]) -> numpy.ndarray:
    """Which fields of a listing each input consists of, a row per input."""
    return numpy.array([[field in names for field in FIELDS] for names in inputs])


def usual_generations(ids: numpy.ndarray, years: numpy.ndarray, cardinalities: numpy.ndarray) -> tuple[int, numpy.ndarray]:
    """The first year, and the most frequent generation by year and model: Probeg imputes it where none is stated."""
    known = pandas.DataFrame({"model": ids[:, MODEL], "generation": ids[:, GENERATION], "year": years}).astype(int)
    known = known[(known["model"] > 0) & (known["generation"] > 0)]
    # Adjacent years get half the weight, to smooth out single outliers.
    weights = {-1: 1, 0: 2, 1: 1}
    weighted = pandas.concat([known.assign(year=known["year"] + shift, weight=weight) for shift, weight in weights.items()])
    counts = weighted.groupby(["model", "year", "generation"], as_index=False)["weight"].sum()
    best = counts.sort_values(["weight", "generation"]).drop_duplicates(["model", "year"], keep="last")
    first, last = (best["year"].min(), best["year"].max()) if len(best) else (0, 0)
    generations = numpy.zeros((last - first + 1, cardinalities[MODEL] + 1), dtype=numpy.int64)
    generations[best["year"] - first, best["model"]] = best["generation"]
    return int(first), generations


def ids(table: pandas.DataFrame, feature: dict[str, Any]) -> numpy.ndarray:
    """The id of each listing's key, 0 if it is unknown or missing. Stored text is in canonical form."""
    known = {tuple(key): identifier for identifier, key in enumerate(feature["values"], start=1)}
    keys = table[feature["columns"]].itertuples(index=False, name=None)
    return numpy.array([known.get(key, 0) for key in keys], dtype=numpy.int64)


def batch_size(config: dict[str, Any], rows: int) -> int:
    """The effective batch size, as in Probeg: smaller than configured if an epoch would have too few steps."""
    fitting = max(rows // 100, 16)
    return min(config["batch_size"], 1 << (fitting - 1).bit_length())


def report(own: Measured, references: list[Measured], rows: int, options: argparse.Namespace) -> None:
    """Prints a row per figure: all sides, and Probeg relative to the better PyTorch.

    The validation losses show that both sides train the same network.
    """
    sides = [own, *references]
    figures = {
        "samples per second": ([side.rows_per_second for side in sides], max),
        "samples per CPU second": ([rows / side.cpu_seconds_per_epoch(options.epochs) for side in sides], max),
        "peak memory, MB": ([side.long.peak_bytes / 1e6 for side in sides], min),
        "whole run, seconds": ([side.long.seconds for side in sides], min),
        "validation loss": ([side.validation_losses[-1] for side in sides], min),
    }
    print(f"\n| | {' | '.join(side.name for side in sides)} | ratio |\n|---{'|---:' * (len(sides) + 1)}|")
    for name, (values, better) in figures.items():
        digits = 4 if name == "validation loss" else 0
        cells = " | ".join(f"{value:,.{digits}f}" for value in values)
        print(f"| {name} | {cells} | {values[0] / better(values[1:]):.2f} |")
    if options.json:
        table = {name: dict(zip([side.name for side in sides], values)) for name, (values, _) in figures.items()}
        options.json.write_text(json.dumps({"rows": rows, "figures": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
