"""Trains CatBoost, LightGBM and Probeg on the same split of a file and compares their accuracy."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

import numpy

from boosting import Effort
from cluster import Cluster
from contenders import Contender, Market, best_tuned, boosting_recipes, print_progress, train_probeg, value_with_probeg
from figures import Difference, Figures, OverSeeds, as_percent, paired_bootstrap
from forms import Form, form_rows, print_forms, share_moved, train_forms
from listings import SHORT_FORMS, Listings, read_listings
from probeg import Probeg, find_program

EXAMPLE = "Example: bench/accuracy listings.csv.gz --seeds 3 --json target/accuracy.json"


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
        versions = train_probeg(probeg, options.set, options.seeds)
        forms = (*SHORT_FORMS, None)
        own = [value_with_probeg(probeg, versions, market.test.shorten(fields), scratch) for fields in forms]
    print_progress(own[-1])
    recipes = boosting_recipes(market, Effort.quick() if options.quick else Effort())
    trained = [(recipe, recipe.train(market, options.seeds)) for recipe in recipes]
    compared = train_forms(trained, market, options.seeds)
    by_form = [Form(form.fields, [*form.contenders, contender]) for form, contender in zip(compared, own)]
    report([*(contender for _, contender in trained), own[-1]], by_form, market.test, options.json)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/accuracy", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV, CSV.gz or XLSX, as accepted by `probeg import`")
    parser.add_argument("--holdout", type=Path, help="evaluate on this file of listings instead of the test split")
    parser.add_argument("--seeds", type=int, help="number of training runs per contender (default: 3, with --quick 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to `probeg train`")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--quick", action="store_true", help="use few trees, a small grid and one seed, to try the command")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    options = parser.parse_args()
    if options.seeds is None:
        options.seeds = 1 if options.quick else 3
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


def report(contenders: list[Contender], forms: list[Form], test: Listings, file: Path | None) -> None:
    """Prints the tables and the paired comparisons; optionally writes all figures as JSON."""
    rows = [row(contender, test.prices) for contender in contenders]
    print_table(rows)
    *references, own = contenders
    trainings = [{"seconds": attempt.seconds, "note": attempt.note} for attempt in own.attempts]
    print("\nTrainings of Probeg: " + "; ".join("{seconds:.0f} s, {note}".format(**training) for training in trainings))
    differences = {
        reference.name: paired_bootstrap(own.errors(test.prices), reference.errors(test.prices), test.groups)
        for reference in references
    }
    best = best_tuned("CatBoost", references).name
    print_differences(differences, best)
    by_form = form_rows(forms, test)
    print_forms(by_form)
    # Each form ends with Probeg: the shortest one first, that of all fields last.
    shortest, full = forms[0], forms[-1]
    moved = asdict(share_moved(shortest.contenders[-1], full.contenders[-1]))
    between = f"between {shortest.fields} and all fields"
    print(f"\nCars whose price by Probeg moves by more than a quarter {between}: {as_percent(moved)}")
    if file:
        content = {
            "listings": len(test),
            "contenders": rows,
            "probeg_trainings": trainings,
            "probeg_against": {name: asdict(difference) for name, difference in differences.items()},
            "reference": best,
            "forms": by_form,
            "probeg_moved_by_a_quarter": moved,
        }
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def row(contender: Contender, prices: numpy.ndarray) -> dict[str, Any]:
    """The figures of a contender: mean and standard deviation over seeds."""
    figures = [asdict(Figures.of(prices, attempt.predictions)) for attempt in contender.attempts]
    over_seeds = {name: OverSeeds.of([entry[name] for entry in figures]) for name in figures[0]}
    over_seeds["validation_mape"] = contender.validation_mape
    over_seeds["seconds"] = OverSeeds.of([attempt.seconds for attempt in contender.attempts])
    summary = {name: asdict(figure) for name, figure in over_seeds.items()}
    return {"name": contender.name, "notes": [attempt.note for attempt in contender.attempts], **summary}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints a row per contender: mean ± standard deviation over seeds."""
    whole: Callable[[dict[str, float]], str] = lambda figure: f"{figure['mean']:,.0f}"
    columns = {
        "MAPE": ("mape", as_percent),
        "median APE": ("median_ape", as_percent),
        "MAE": ("mae", whole),
        "within 10 %": ("within_10", as_percent),
        "within 20 %": ("within_20", as_percent),
        "validation MAPE": ("validation_mape", as_percent),
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
