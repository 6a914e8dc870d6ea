"""The comparison by form: how accurate the contenders are when only the first fields of a car are known."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from contenders import Contender, Market, Recipe, best_tuned
from figures import OverSeeds, as_percent, percentage_errors
from listings import SHORT_FORMS, Listings

# The relative change of a price that counts as a move.
MOVE = 0.25


@dataclass(frozen=True)
class Form:
    """The contenders on the first fields of the test listings; on all fields if there is no number."""

    fields: int | None
    contenders: list[Contender]


def train_forms(trained: list[tuple[Recipe, Contender]], market: Market, seeds: int) -> list[Form]:
    """Trains the best tuned CatBoost and LightGBM for each short form, with the parameters found for all fields."""
    contenders = [contender for _, contender in trained]
    full = [best_tuned(library, contenders) for library in ("CatBoost", "LightGBM")]
    names = [contender.name for contender in full]
    recipes = [recipe for recipe, _ in trained if recipe.name in names]
    forms = []
    for fields in SHORT_FORMS:
        print(f"the first {fields} fields:", file=sys.stderr)
        shortened = market.shorten(fields)
        forms.append(Form(fields, [recipe.train(shortened, seeds) for recipe in recipes]))
    return [*forms, Form(None, full)]


def form_rows(forms: list[Form], test: Listings) -> list[dict[str, Any]]:
    """The figures of each contender on each form, of all listings and of the newest snapshot if it is large enough."""
    subsets = {"all": numpy.full(len(test), True), "newest": test.newest_snapshot()}
    return [
        {
            "fields": form.fields,
            "name": contender.name,
            **{
                name: subset_figures(contender, test.prices, subset)
                for name, subset in subsets.items()
                if subset is not None
            },
        }
        for form in forms
        for contender in form.contenders
    ]


def subset_figures(contender: Contender, prices: numpy.ndarray, subset: numpy.ndarray) -> dict[str, Any]:
    """The error of a contender on some of the listings, and the share of prices within its ranges if it has any."""
    errors = [percentage_errors(prices, attempt.predictions)[subset] for attempt in contender.attempts]
    figures = {"listings": int(subset.sum()), "mape": asdict(OverSeeds.of([float(error.mean()) for error in errors]))}
    ranges = [attempt.range for attempt in contender.attempts if attempt.range]
    if ranges:
        covered = [float(range_.contains(prices)[subset].mean()) for range_ in ranges]
        figures["coverage"] = asdict(OverSeeds.of(covered))
    return figures


def share_moved(form: Contender, full: Contender) -> OverSeeds:
    """The share of cars whose price moves by more than a quarter when all other fields are added to a form."""
    pairs = zip(form.attempts, full.attempts)
    changes = [numpy.abs(other.predictions / attempt.predictions - 1.0) for attempt, other in pairs]
    return OverSeeds.of([float((change > MOVE).mean()) for change in changes])


def print_forms(rows: list[dict[str, Any]]) -> None:
    """Prints a row per form and contender: mean ± standard deviation over seeds."""
    subsets = [name for name in ("all", "newest") if name in rows[0]]
    titles = [f"{name} ({rows[0][name]['listings']:,}): {figure}" for name in subsets for figure in ("MAPE", "coverage")]
    print(f"\n| fields | contender | {' | '.join(titles)} |\n|---:|---{'|---:' * len(titles)}|")
    for entry in rows:
        figures = [entry[name].get(figure) for name in subsets for figure in ("mape", "coverage")]
        cells = [as_percent(figure) if figure else "" for figure in figures]
        print(f"| {entry['fields'] or 'all'} | {entry['name']} | {' | '.join(cells)} |")
