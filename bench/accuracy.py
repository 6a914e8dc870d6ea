"""Trains CatBoost, LightGBM and Probeg on the same split of a file and compares their accuracy."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy
import pandas

import boosting
from boosting import Effort, Fit, Split
from cluster import Cluster
from figures import Difference, Figures, paired_bootstrap, percentage_errors
from listings import Listings, read_listings
from probeg import Probeg, find_program

EXAMPLE = "Example: bench/accuracy listings.csv.gz --seeds 3 --json target/accuracy.json"


@dataclass(frozen=True)
class Market:
    """The splits: for training, for early stopping, and for evaluation."""

    train: Listings
    validation: Listings
    test: Listings


@dataclass(frozen=True)
class Attempt:
    """One seed of a contender: its predictions of the test prices, and the training time."""

    predictions: numpy.ndarray
    validation_mape: float
    seconds: float
    note: str


@dataclass(frozen=True)
class Contender:
    """A model under comparison, trained once per seed."""

    name: str
    attempts: list[Attempt]

    def errors(self, prices: numpy.ndarray) -> numpy.ndarray:
        """The error on each listing, averaged over seeds."""
        return numpy.mean([percentage_errors(prices, attempt.predictions) for attempt in self.attempts], axis=0)


def main() -> None:
    """The command `bench/accuracy`."""
    options = parse_arguments()
    program = find_program(options.probeg)
    with tempfile.TemporaryDirectory(prefix="probeg-accuracy-") as folder, Cluster() as cluster:
        scratch = Path(folder)
        probeg = Probeg(program, cluster.create_database("listings"))
        probeg.import_file(options.file, scratch)
        market = split(read_listings(probeg.database))
        if options.holdout:
            holdout = Probeg(program, cluster.create_database("holdout"))
            holdout.import_file(options.holdout, scratch)
            market = with_holdout(market, read_listings(holdout.database))
        sizes = [len(market.train), len(market.validation), len(market.test)]
        print("listings: {:,} for training, {:,} for validation, {:,} for testing".format(*sizes), flush=True)
        # Probeg first: it takes minutes, so that problems show before the others search for hours.
        own = print_progress(Contender("Probeg", list(train_probeg(probeg, market, options.set, options.seeds, scratch))))
    others = train_boosting(market, Effort.quick() if options.quick else Effort(), options.seeds)
    report([*others, own], market.test, options.json)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/accuracy", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV, CSV.gz or XLSX, as accepted by `probeg import`")
    parser.add_argument("--holdout", type=Path, help="evaluate on this file of listings instead of the test split")
    parser.add_argument("--seeds", type=int, default=3, help="number of training runs per contender (default: 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to `probeg train`")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--quick", action="store_true", help="use few trees and a small grid, to try the command")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error("--seeds must be at least 1")
    return options


def split(listings: Listings) -> Market:
    """Splits by car, as Probeg does."""
    return Market(*(listings.between_buckets(*buckets) for buckets in ((0, 79), (80, 89), (90, 99))))


def with_holdout(market: Market, holdout: Listings) -> Market:
    """Replaces the test split by another file; warns about cars that are also trained on."""
    trained_groups = {*market.train.table["listing_group"], *market.validation.table["listing_group"]}
    repeated = int(holdout.table["listing_group"].isin(trained_groups).sum())
    if repeated:
        print(f"warning: {repeated} listings of the holdout are of cars that are also trained on", file=sys.stderr)
    return Market(market.train, market.validation, holdout)


def train_boosting(market: Market, effort: Effort, seeds: int) -> Iterable[Contender]:
    """CatBoost with defaults and tuned, LightGBM tuned. Parameters are searched once, with the first seed."""
    train, validation = Split.of(market.train), Split.of(market.validation)
    candidates: list[tuple[str, Fit, dict[str, list[Any]]]] = [
        ("CatBoost default", boosting.catboost_default, {}),
        ("CatBoost tuned, RMSE", boosting.catboost_tuned("RMSE", effort), effort.catboost_grid),
        ("CatBoost tuned, MAE", boosting.catboost_tuned("MAE", effort), effort.catboost_grid),
        ("LightGBM tuned, L2", boosting.lightgbm_tuned("regression", effort), effort.lightgbm_grid),
        ("LightGBM tuned, L1", boosting.lightgbm_tuned("regression_l1", effort), effort.lightgbm_grid),
    ]
    for name, fit, grid in candidates:
        parameters = boosting.search(name, fit, grid, train, validation) if grid else {}
        attempts = [train_boosting_once(fit, parameters, train, validation, market.test, seed) for seed in range(seeds)]
        yield print_progress(Contender(name, attempts))


def train_boosting_once(
    fit: Fit, parameters: dict[str, Any], train: Split, validation: Split, test: Listings, seed: int
) -> Attempt:
    """Trains once. The time excludes the parameter search."""
    started = time.monotonic()
    fitted = fit(train, validation, parameters, seed)
    seconds = time.monotonic() - started
    note = ", ".join([f"{fitted.trees} trees", *(f"{key} {value}" for key, value in parameters.items())])
    return Attempt(numpy.exp(fitted.predict(test.features())), fitted.validation_mape, seconds, note)


def train_probeg(
    probeg: Probeg, market: Market, settings: list[str], seeds: int, scratch: Path
) -> Iterable[Attempt]:
    """Trains a version per seed and values the listings with `probeg predict`."""
    listings, valued = scratch / "listings.csv", scratch / "valued.csv"
    market.test.write_unpriced(listings)
    for seed in range(seeds):
        trained, cost = probeg.train([*settings, f"seed={seed}"])
        probeg.predict(trained["version"], listings, valued)
        epochs = probeg.show_run(trained["run"])["epochs"]
        best = min(epochs, key=lambda epoch: epoch["metrics"]["validation_loss"])
        predictions = read_valued(valued, len(market.test))
        yield Attempt(predictions, best["metrics"]["validation_mape"], cost.seconds, f"{len(epochs)} epochs")


def read_valued(file: Path, rows: int) -> numpy.ndarray:
    """Reads the prices that Probeg wrote. A listing without a price would make the comparison unfair."""
    table = pandas.read_csv(file, dtype=str)
    predictions = pandas.to_numeric(table["predict_value"], errors="coerce")
    if len(table) != rows or predictions.isna().any():
        raise SystemExit(f"expected {rows} valued listings, got {predictions.notna().sum()} of {len(table)}")
    return predictions.to_numpy(numpy.float64)


def print_progress(contender: Contender) -> Contender:
    """Prints that a contender is done: the whole comparison may take hours."""
    attempts = contender.attempts
    validation = statistics.mean(attempt.validation_mape for attempt in attempts)
    print(f"{contender.name}: {attempts[0].note}, validation MAPE {validation:.2%}", file=sys.stderr, flush=True)
    return contender


def report(contenders: list[Contender], test: Listings, file: Path | None) -> None:
    """Prints the table and the paired comparisons; optionally writes both as JSON."""
    rows = [row(contender, test.prices) for contender in contenders]
    print_table(rows)
    *references, own = contenders
    differences = {
        reference.name: paired_bootstrap(own.errors(test.prices), reference.errors(test.prices), test.groups)
        for reference in references
    }
    tuned = [entry for entry in rows if entry["name"].startswith("CatBoost tuned")]
    # Chosen by the validation split, as a user would.
    best = min(tuned, key=lambda entry: entry["validation_mape"]["mean"])["name"]
    print_differences(differences, best)
    if file:
        comparisons = {name: asdict(difference) for name, difference in differences.items()}
        content = {"listings": len(test), "contenders": rows, "probeg_against": comparisons, "reference": best}
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def row(contender: Contender, prices: numpy.ndarray) -> dict[str, Any]:
    """The figures of a contender: mean and standard deviation over seeds."""
    figures = [asdict(Figures.of(prices, attempt.predictions)) for attempt in contender.attempts]
    over_seeds: dict[str, list[float]] = {name: [entry[name] for entry in figures] for name in figures[0]}
    over_seeds["validation_mape"] = [attempt.validation_mape for attempt in contender.attempts]
    over_seeds["seconds"] = [attempt.seconds for attempt in contender.attempts]
    summary = {
        name: {"mean": statistics.mean(values), "deviation": statistics.stdev(values) if len(values) > 1 else 0.0}
        for name, values in over_seeds.items()
    }
    return {"name": contender.name, "notes": [attempt.note for attempt in contender.attempts], **summary}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints a row per contender: mean ± standard deviation over seeds."""
    percent: Callable[[dict[str, float]], str] = lambda figure: f"{100 * figure['mean']:.2f} ± {100 * figure['deviation']:.2f} %"
    whole: Callable[[dict[str, float]], str] = lambda figure: f"{figure['mean']:,.0f}"
    columns = {
        "MAPE": ("mape", percent),
        "median APE": ("median_ape", percent),
        "MAE": ("mae", whole),
        "within 10 %": ("within_10", percent),
        "within 20 %": ("within_20", percent),
        "validation MAPE": ("validation_mape", percent),
        "seconds": ("seconds", whole),
    }
    print(f"\n| contender | {' | '.join(columns)} |\n|---{'|---:' * len(columns)}|")
    for entry in rows:
        cells = [show(entry[name]) for name, show in columns.values()]
        print(f"| {entry['name']} | {' | '.join(cells)} |")


def print_differences(differences: dict[str, Difference], best: str) -> None:
    """Prints Probeg's MAPE relative to that of each other contender."""
    print("\nMAPE of Probeg relative to that of the others, paired bootstrap over cars:")
    for name, difference in differences.items():
        note = "  <- reference: the tuned CatBoost with the lower validation MAPE" if name == best else ""
        interval = f"95 % interval {difference.low:+.1%} … {difference.high:+.1%}"
        print(f"  {name:<22}{difference.value:+7.1%}  ({interval}){note}")


if __name__ == "__main__":
    main()
