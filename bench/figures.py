"""What is said about predictions, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

RESAMPLES = 2000


@dataclass(frozen=True)
class Figures:
    """The errors of one set of predictions, as fractions; `mae` in the currency of the prices."""

    mape: float
    median_ape: float
    mae: float
    within_10: float
    within_20: float

    @staticmethod
    def of(prices: numpy.ndarray, predictions: numpy.ndarray) -> Figures:
        """Measures predictions."""
        errors = percentage_errors(prices, predictions)
        return Figures(
            mape=float(errors.mean()),
            median_ape=float(numpy.median(errors)),
            mae=float(numpy.abs(predictions - prices).mean()),
            within_10=float((errors <= 0.1).mean()),
            within_20=float((errors <= 0.2).mean()),
        )


@dataclass(frozen=True)
class Difference:
    """How far one MAPE lies from another, relative to the other: -0.05 is 5 % lower. A 95 % interval around it."""

    value: float
    low: float
    high: float


def percentage_errors(prices: numpy.ndarray, predictions: numpy.ndarray) -> numpy.ndarray:
    """The absolute error of each prediction as a share of its price."""
    return numpy.abs(predictions / prices - 1.0)


def paired_bootstrap(errors: numpy.ndarray, reference: numpy.ndarray, groups: numpy.ndarray) -> Difference:
    """Resamples cars, not listings: the errors on two listings of one car are not independent.

    Both contenders are measured on the same resampled cars, so what is hard for both cancels out.
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
