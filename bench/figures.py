"""Accuracy figures and their confidence intervals."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy

RESAMPLES = 2000


@dataclass(frozen=True)
class Figures:
    """The accuracy of a set of predictions, as fractions; `mae` in the currency of the prices."""

    mape: float
    median_ape: float
    mae: float
    within_10: float
    within_20: float

    @staticmethod
    def of(prices: numpy.ndarray, predictions: numpy.ndarray) -> Figures:
        """Computes the figures of predictions."""
        errors = percentage_errors(prices, predictions)
        return Figures(
            mape=float(errors.mean()),
            median_ape=float(numpy.median(errors)),
            mae=float(numpy.abs(predictions - prices).mean()),
            within_10=float((errors <= 0.1).mean()),
            within_20=float((errors <= 0.2).mean()),
        )


@dataclass(frozen=True)
class OverSeeds:
    """The mean and the standard deviation of a figure over seeds."""

    mean: float
    deviation: float

    @staticmethod
    def of(values: list[float]) -> OverSeeds:
        """Summarizes a figure of each seed."""
        return OverSeeds(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


@dataclass(frozen=True)
class Difference:
    """The relative difference of two MAPEs (-0.05 means 5 % lower) and its 95 % interval."""

    value: float
    low: float
    high: float


def as_percent(figure: dict[str, float]) -> str:
    """A fraction over seeds, given as the fields of `OverSeeds`."""
    return f"{100 * figure['mean']:.2f} ± {100 * figure['deviation']:.2f} %"


def percentage_errors(prices: numpy.ndarray, predictions: numpy.ndarray) -> numpy.ndarray:
    """The absolute error of each prediction relative to its price."""
    return numpy.abs(predictions / prices - 1.0)


def paired_bootstrap(errors: numpy.ndarray, reference: numpy.ndarray, groups: numpy.ndarray) -> Difference:
    """Resamples cars rather than listings: the errors on two listings of one car are not independent.

    Both contenders are evaluated on the same resampled cars, so that cars hard for both cancel out.
    """
    _, cars = numpy.unique(groups, return_inverse=True)
    own, other = numpy.bincount(cars, errors), numpy.bincount(cars, reference)
    random = numpy.random.default_rng(0)
    ratios = numpy.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        drawn = random.integers(0, len(own), len(own))
        ratios[resample] = own[drawn].sum() / other[drawn].sum()
    low, high = numpy.quantile(ratios, [0.025, 0.975])
    return Difference(float(own.sum() / other.sum() - 1.0), float(low - 1.0), float(high - 1.0))
