"""Carefully tuned gradient boosting, the reference for accuracy."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from typing import Any, Callable

import catboost
import lightgbm
import numpy
import pandas

from listings import Listings

# Step size for choosing the number of trees.
STEP = 25


@dataclass(frozen=True)
class Split:
    """A split of the data for boosting: features and log prices."""

    features: pandas.DataFrame
    log_prices: numpy.ndarray

    @staticmethod
    def of(listings: Listings) -> Split:
        """The features and targets of listings."""
        return Split(listings.features(), numpy.log(listings.prices))

    def mape(self, log_predictions: numpy.ndarray) -> float:
        """The mean absolute percentage error, as a fraction."""
        return float(numpy.mean(numpy.abs(numpy.expm1(log_predictions - self.log_prices))))


@dataclass(frozen=True)
class Effort:
    """The size of the parameter search and the training limits."""

    trees: int = 3000
    patience: int = 150
    catboost_grid: dict[str, list[Any]] = field(
        default_factory=lambda: {"depth": [6, 8, 10], "learning_rate": [0.06, 0.12], "l2_leaf_reg": [3.0]}
    )
    lightgbm_grid: dict[str, list[Any]] = field(
        default_factory=lambda: {"num_leaves": [31, 127], "learning_rate": [0.04, 0.08]}
    )

    @staticmethod
    def quick() -> Effort:
        """The minimum to check that everything runs."""
        return Effort(
            trees=100,
            patience=30,
            catboost_grid={"depth": [6, 8], "learning_rate": [0.15]},
            lightgbm_grid={"num_leaves": [31], "learning_rate": [0.1]},
        )


@dataclass(frozen=True)
class Fitted:
    """A fitted model with the chosen number of trees; predicts log prices."""

    predict: Callable[[pandas.DataFrame], numpy.ndarray]
    validation_mape: float
    trees: int


Fit = Callable[[Split, Split, dict[str, Any], int], Fitted]


def catboost_default(train: Split, validation: Split, parameters: dict[str, Any], seed: int) -> Fitted:
    """CatBoost with default parameters."""
    model = catboost.CatBoostRegressor(
        random_seed=seed, cat_features=_categories(train), verbose=False, allow_writing_files=False, **parameters
    )
    model.fit(train.features, train.log_prices)
    return Fitted(model.predict, validation.mape(model.predict(validation.features)), model.tree_count_)


def catboost_tuned(loss: str, effort: Effort) -> Fit:
    """CatBoost with early stopping; keeps the number of trees with the lowest validation MAPE."""

    def fit(train: Split, validation: Split, parameters: dict[str, Any], seed: int) -> Fitted:
        categories = _categories(train)
        held_out = catboost.Pool(validation.features, validation.log_prices, cat_features=categories)
        model = catboost.CatBoostRegressor(
            loss_function=loss,
            # The built-in metric of log prices closest to MAPE.
            eval_metric="MAE",
            iterations=effort.trees,
            early_stopping_rounds=effort.patience,
            use_best_model=False,
            random_seed=seed,
            allow_writing_files=False,
            verbose=False,
            **parameters,
        )
        model.fit(catboost.Pool(train.features, train.log_prices, cat_features=categories), eval_set=held_out)
        stages = model.staged_predict(held_out, eval_period=STEP)
        mapes = [validation.mape(predictions) for predictions in stages]
        best = int(numpy.argmin(mapes))
        trees = min((best + 1) * STEP, model.tree_count_)
        return Fitted(lambda features: model.predict(features, ntree_end=trees), mapes[best], trees)

    return fit


def lightgbm_tuned(loss: str, effort: Effort) -> Fit:
    """LightGBM with early stopping; keeps the number of trees with the lowest validation MAPE."""

    def fit(train: Split, validation: Split, parameters: dict[str, Any], seed: int) -> Fitted:
        vocabulary = {name: train.features[name].unique() for name in _categories(train)}
        train_set = lightgbm.Dataset(_as_categories(train.features, vocabulary), train.log_prices)
        held_out = train_set.create_valid(_as_categories(validation.features, vocabulary), validation.log_prices)
        fixed = {"objective": loss, "metric": "l1", "seed": seed, "verbose": -1, "min_data_in_leaf": 10}
        sampling = {"feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "cat_smooth": 20}
        stopping = lightgbm.early_stopping(effort.patience, verbose=False)
        model = lightgbm.train(
            {**fixed, **sampling, **parameters}, train_set, effort.trees, valid_sets=[held_out], callbacks=[stopping]
        )

        def predict(features: pandas.DataFrame, trees: int) -> numpy.ndarray:
            return model.predict(_as_categories(features, vocabulary), num_iteration=trees)

        counts = list(range(STEP, model.num_trees() + 1, STEP)) or [model.num_trees()]
        mapes = [validation.mape(predict(validation.features, trees)) for trees in counts]
        best = int(numpy.argmin(mapes))
        return Fitted(lambda features: predict(features, counts[best]), mapes[best], counts[best])

    return fit


def search(name: str, fit: Fit, grid: dict[str, list[Any]], train: Split, validation: Split) -> dict[str, Any]:
    """The parameters of a grid with the lowest validation MAPE. The test split is not used."""
    results: list[tuple[float, dict[str, Any]]] = []
    for values in itertools.product(*grid.values()):
        parameters = dict(zip(grid, values))
        fitted = fit(train, validation, parameters, 0)
        print(f"{name} {parameters}: {fitted.trees} trees, validation MAPE {fitted.validation_mape:.2%}", file=sys.stderr)
        results.append((fitted.validation_mape, parameters))
    return min(results, key=lambda candidate: candidate[0])[1]


def _categories(split: Split) -> list[str]:
    return [name for name in split.features if split.features[name].dtype == object]


def _as_categories(features: pandas.DataFrame, vocabulary: dict[str, numpy.ndarray]) -> pandas.DataFrame:
    """Encodes categories; those not in the training data become missing."""
    known = {name: pandas.Categorical(features[name], categories=values) for name, values in vocabulary.items()}
    return features.assign(**known)
