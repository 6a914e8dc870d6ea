"""Trains LightGBM on listings and writes an ONNX file that `probeg models import` accepts.

train.py CHAMPION.onnx LISTINGS.csv MODEL.onnx [TREES]

CHAMPION.onnx is a file of `probeg models export`, whose metadata describes the inputs. LISTINGS.csv is one of
`probeg listings`, or any CSV with the columns of an import.
"""

import csv
import datetime
import json
import sys

import lightgbm
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDS = 5
# The weight of the mean of all listings in the mean of a category, as a number of listings.
PRIOR = 10
EPOCH = datetime.date(1970, 1, 1)


def main() -> None:
    champion, listings, output = sys.argv[1:4]
    trees = int(sys.argv[4]) if len(sys.argv) > 4 else 400
    metadata = {entry.key: entry.value for entry in onnx.load(champion).metadata_props}
    schema = json.loads(metadata["probeg.schema"])
    with open(listings, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    categorical, numeric = encode(rows, schema)
    log_prices = numpy.log([float(row["price"]) for row in rows])
    level = log_prices.mean()
    residuals = log_prices - level

    # An id means nothing by itself, so it is replaced by how much its listings differ from the mean. In training, that is
    # calculated from other listings than the one at hand.
    sizes = [len(feature["values"]) + 1 for feature in schema["categorical"]]
    effects = numpy.zeros(categorical.shape, numpy.float32)
    fold = numpy.random.default_rng(0).integers(FOLDS, size=len(rows))
    for number in range(FOLDS):
        others = fold != number
        tables = effect_tables(categorical[others], residuals[others], sizes)
        effects[~others] = look_up(tables, categorical[~others])
    booster = lightgbm.train(
        {"objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 10, "verbosity": -1,
         "boost_from_average": False, "seed": 0, "deterministic": True, "num_threads": 2},
        lightgbm.Dataset(numpy.hstack([effects, numeric]), residuals),
        num_boost_round=trees,
    )
    tables = effect_tables(categorical, residuals, sizes)
    model = build(booster.dump_model()["tree_info"], level, tables, numeric.shape[1])
    # The vocabularies that the ids are from. Without this entry, they are taken to be those of the current champion.
    model.metadata_props.add(key="probeg.schema", value=metadata["probeg.schema"])
    onnx.checker.check_model(model)
    onnx.save(model, output)
    print(f"{output}: {booster.num_trees()} trees from {len(rows)} listings")


def encode(rows: list[dict], schema: dict) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The ids [N, C] and numbers [N, F] of listings."""

    def canonical(row: dict, column: str) -> str | None:
        folded = " ".join((row.get(column) or "").split()).lower().replace("ё", "е")
        return schema["synonyms"].get(column, {}).get(folded, folded) or None

    def number(row: dict, feature: dict) -> float:
        value = row.get(feature["name"])
        if not value:
            return float("nan")
        if feature["unit"] == "days since 1970-01-01":
            return float((datetime.date.fromisoformat(value) - EPOCH).days)
        return float(value)

    ids = []
    for feature in schema["categorical"]:
        known = {tuple(key): number for number, key in enumerate(feature["values"], 1)}
        ids.append([known.get(tuple(canonical(row, column) for column in feature["columns"]), 0) for row in rows])
    numbers = [[number(row, feature) for feature in schema["numeric"]] for row in rows]
    return numpy.array(ids, numpy.int64).T, numpy.array(numbers, numpy.float32)


def effect_tables(ids: numpy.ndarray, residuals: numpy.ndarray, sizes: list[int]) -> list[numpy.ndarray]:
    """For each category, the mean residual by id, drawn towards 0 for rare ones. That of id 0, an unknown or missing key, is 0."""
    tables = []
    for column, size in zip(ids.T, sizes):
        sums = numpy.bincount(column, residuals, size)
        table = (sums / (numpy.bincount(column, minlength=size) + PRIOR)).astype(numpy.float32)
        table[0] = 0
        tables.append(table)
    return tables


def look_up(tables: list[numpy.ndarray], ids: numpy.ndarray) -> numpy.ndarray:
    return numpy.stack([table[column] for table, column in zip(tables, ids.T)], 1)


def build(trees: list[dict], level: float, tables: list[numpy.ndarray], numbers: int) -> onnx.ModelProto:
    """The graph from ids and numbers to the price."""
    offsets = numpy.cumsum([0] + [len(table) for table in tables[:-1]])
    constants = {
        "table": numpy.concatenate(tables)[:, None],
        "offsets": offsets[None].astype(numpy.int64),
        "flat": numpy.array([-1], numpy.int64),
        "by_listing": numpy.array([-1, len(tables)], numpy.int64),
    }
    nodes = [
        # One table for all categories, so that its rows are exactly the ids of the schema.
        helper.make_node("Add", ["categorical", "offsets"], ["rows"]),
        helper.make_node("Reshape", ["rows", "flat"], ["all_rows"]),
        helper.make_node("Gather", ["table", "all_rows"], ["looked_up"], axis=0),
        helper.make_node("Reshape", ["looked_up", "by_listing"], ["effects"]),
        helper.make_node("Concat", ["effects", "numeric"], ["features"], axis=1),
        helper.make_node(
            "TreeEnsembleRegressor", ["features"], ["log_price"], domain="ai.onnx.ml", n_targets=1,
            base_values=[float(level)], **tree_attributes(trees),
        ),
        helper.make_node("Exp", ["log_price"], ["price"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cars",
        [
            helper.make_tensor_value_info("categorical", TensorProto.INT64, ["N", len(tables)]),
            helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", numbers]),
        ],
        [helper.make_tensor_value_info("price", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=8, producer_name="lightgbm", producer_version=lightgbm.__version__
    )


def tree_attributes(trees: list[dict]) -> dict[str, list]:
    """The trees of LightGBM as the attributes of a TreeEnsembleRegressor."""
    names = [f"nodes_{name}" for name in "treeids nodeids featureids modes values truenodeids falsenodeids missing_value_tracks_true".split()]
    names += [f"target_{name}" for name in "treeids nodeids ids weights".split()]
    attributes: dict[str, list] = {name: [] for name in names}

    def add(tree: int, node: dict) -> int:
        index = len(attributes["nodes_treeids"]) - first
        is_leaf = "leaf_value" in node
        missing = not is_leaf and (node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0)
        row = [tree, index, 0, "LEAF", 0.0, 0, 0, 0]
        if not is_leaf:
            row = [tree, index, node["split_feature"], "BRANCH_LEQ", floor32(node["threshold"]), 0, 0, int(missing)]
        for name, value in zip(names, row):
            attributes[name].append(value)
        if is_leaf:
            for name, value in zip(names[-4:], [tree, index, 0, node["leaf_value"]]):
                attributes[name].append(value)
        else:
            attributes["nodes_truenodeids"][first + index] = add(tree, node["left_child"])
            attributes["nodes_falsenodeids"][first + index] = add(tree, node["right_child"])
        return index

    for tree in trees:
        first = len(attributes["nodes_treeids"])
        add(tree["tree_index"], tree["tree_structure"])
    return attributes


def floor32(threshold: float) -> float:
    """The largest single-precision number up to a threshold: features are single precision, thresholds are not."""
    largest = float(numpy.finfo(numpy.float32).max)
    rounded = numpy.float32(min(max(threshold, -largest), largest))
    return float(rounded if float(rounded) <= threshold else numpy.nextafter(rounded, numpy.float32(-numpy.inf)))


if __name__ == "__main__":
    main()
