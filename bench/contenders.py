"""The models under comparison: gradient boosting and Probeg."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable

import numpy
import pandas

import boosting
from boosting import Effort, Fit, Split
from figures import OverSeeds, percentage_errors
from listings import Listings
from probeg import Probeg


@dataclass(frozen=True)
class Market:
    """The splits: for training, for early stopping, and for evaluation."""

    train: Listings
    validation: Listings
    test: Listings

    def shorten(self, fields: int | None) -> Market:
        """The splits with the first fields of a form only."""
        return Market(*(part.shorten(fields) for part in (self.train, self.validation, self.test)))


@dataclass(frozen=True)
class Range:
    """The 80 % range of each price."""

    low: numpy.ndarray
    high: numpy.ndarray

    def contains(self, prices: numpy.ndarray) -> numpy.ndarray:
        """Which prices are within their range."""
        return (self.low <= prices) & (prices <= self.high)


@dataclass(frozen=True)
class Attempt:
    """One seed of a contender: its predictions of the test prices, and the training time."""

    predictions: numpy.ndarray
    validation_mape: float
    seconds: float
    note: str
    # Of Probeg only.
    range: Range | None = None


@dataclass(frozen=True)
class Contender:
    """A model under comparison, trained once per seed."""

    name: str
    attempts: list[Attempt]

    def errors(self, prices: numpy.ndarray) -> numpy.ndarray:
        """The error on each listing, averaged over seeds."""
        return numpy.mean([percentage_errors(prices, attempt.predictions) for attempt in self.attempts], axis=0)

    @property
    def validation_mape(self) -> OverSeeds:
        """The error on the validation split."""
        return OverSeeds.of([attempt.validation_mape for attempt in self.attempts])


@dataclass(frozen=True)
class Recipe:
    """Gradient boosting with a loss and its parameters."""

    name: str
    fit: Fit
    parameters: dict[str, Any]

    def train(self, market: Market, seeds: int) -> Contender:
        """Trains once per seed. The time excludes the parameter search."""
        train, validation, test = Split.of(market.train), Split.of(market.validation), market.test.features()
        return print_progress(Contender(self.name, [self._attempt(train, validation, test, seed) for seed in range(seeds)]))

    def _attempt(self, train: Split, validation: Split, test: pandas.DataFrame, seed: int) -> Attempt:
        started = time.monotonic()
        fitted = self.fit(train, validation, self.parameters, seed)
        seconds = time.monotonic() - started
        note = ", ".join([f"{fitted.trees} trees", *(f"{key} {value}" for key, value in self.parameters.items())])
        return Attempt(numpy.exp(fitted.predict(test)), fitted.validation_mape, seconds, note)


def boosting_recipes(market: Market, effort: Effort) -> Iterable[Recipe]:
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
        yield Recipe(name, fit, boosting.search(name, fit, grid, train, validation) if grid else {})


@dataclass(frozen=True)
class Version:
    """A version of Probeg, trained with one seed."""

    number: int
    validation_mape: float
    seconds: float
    epochs: int


def train_probeg(probeg: Probeg, settings: list[str], seeds: int) -> list[Version]:
    """Trains a version per seed."""
    return [train_version(probeg, [*settings, f"seed={seed}"]) for seed in range(seeds)]


def train_version(probeg: Probeg, settings: list[str]) -> Version:
    """Trains a version. The validation MAPE is that of the best epoch, before refitting."""
    trained, cost = probeg.train(settings)
    epochs = probeg.show_run(trained["run"])["epochs"]
    best = min(epochs, key=lambda epoch: epoch["metrics"]["validation_loss"])
    return Version(trained["version"], best["metrics"]["validation_mape"], cost.seconds, len(epochs))


def value_with_probeg(probeg: Probeg, versions: list[Version], listings: Listings, scratch: Path) -> Contender:
    """Values listings with `probeg predict`; columns that they lack are missing values."""
    unpriced, valued = scratch / "listings.csv", scratch / "valued.csv"
    listings.write_unpriced(unpriced)
    attempts = []
    for version in versions:
        probeg.predict(version.number, unpriced, valued)
        predictions, low, high = read_valued(valued, len(listings))
        note = f"{version.epochs} epochs"
        attempts.append(Attempt(predictions, version.validation_mape, version.seconds, note, Range(low, high)))
    return Contender("Probeg", attempts)


def read_valued(file: Path, rows: int) -> list[numpy.ndarray]:
    """Reads the prices and ranges that Probeg wrote. A listing without a price would make the comparison unfair."""
    table = pandas.read_csv(file, dtype=str)
    columns = table[["predict_value", "predict_low", "predict_high"]].apply(pandas.to_numeric, errors="coerce")
    if len(table) != rows or columns.isna().any(axis=None):
        raise SystemExit(f"expected {rows} valued listings, got {len(columns.dropna())} of {len(table)}")
    return [columns[name].to_numpy(numpy.float64) for name in columns]


def best_tuned(library: str, contenders: list[Contender]) -> Contender:
    """The tuned contender of a library with the lowest validation MAPE, which a user would choose."""
    tuned = [contender for contender in contenders if contender.name.startswith(f"{library} tuned")]
    return min(tuned, key=lambda contender: contender.validation_mape.mean)


def print_progress(contender: Contender) -> Contender:
    """Prints that a contender is done: the whole comparison may take hours."""
    note, validation = contender.attempts[0].note, contender.validation_mape.mean
    seconds = ", ".join(f"{attempt.seconds:.0f} s" for attempt in contender.attempts)
    print(f"{contender.name}: {note}, validation MAPE {validation:.2%}, {seconds}", file=sys.stderr, flush=True)
    return contender
