"""A client that only uses the model file: client.py MODEL.onnx LISTING_JSON prints the median price."""

import datetime
import json
import sys

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
metadata = session.get_modelmeta().custom_metadata_map
schema = json.loads(metadata["probeg.schema"])
levels = json.loads(metadata["probeg.quantiles"])
listing = json.loads(sys.argv[2])


def canonical(column):
    text = listing.get(column)
    if text is None:
        return None
    folded = " ".join(str(text).split()).lower().replace("ё", "е")
    return schema["synonyms"].get(column, {}).get(folded, folded)


def identifier(feature):
    key = [canonical(column) for column in feature["columns"]]
    return feature["values"].index(key) + 1 if key in feature["values"] else 0


def number(feature):
    value = listing.get(feature["name"])
    if value is None:
        return float("nan")
    if feature["unit"] == "days since 1970-01-01":
        return (datetime.date.fromisoformat(value) - datetime.date(1970, 1, 1)).days
    return value


inputs = {
    "categorical": numpy.array([[identifier(feature) for feature in schema["categorical"]]], dtype=numpy.int64),
    "numeric": numpy.array([[number(feature) for feature in schema["numeric"]]], dtype=numpy.float32),
}
(quantiles,) = session.run(["price_quantiles"], inputs)
print(float(quantiles[0, levels.index(0.5)]))
