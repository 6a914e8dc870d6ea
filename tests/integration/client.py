"""A client that only uses the model file: client.py MODEL.onnx LISTING_JSON prints the median price."""

import datetime
import json
import sys

import numpy
import onnxruntime


class Encoder:
    """Encodes listings as the metadata of a model file says."""

    def __init__(self, metadata):
        self.schema = json.loads(metadata["probeg.schema"])
        self.levels = json.loads(metadata["probeg.quantiles"])

    def inputs(self, listing):
        categorical = [self.identifier(listing, feature) for feature in self.schema["categorical"]]
        numeric = [number(listing, feature) for feature in self.schema["numeric"]]
        return {
            "categorical": numpy.array([categorical], dtype=numpy.int64),
            "numeric": numpy.array([numeric], dtype=numpy.float32),
        }

    def identifier(self, listing, feature):
        key = [self.canonical(listing, column) for column in feature["columns"]]
        return feature["values"].index(key) + 1 if key in feature["values"] else 0

    def canonical(self, listing, column):
        text = listing.get(column)
        if text is None:
            return None
        folded = " ".join(str(text).split()).lower().replace("ё", "е")
        return self.schema["synonyms"].get(column, {}).get(folded, folded)

    def median(self, quantiles):
        return float(quantiles[0, self.levels.index(0.5)])


def number(listing, feature):
    value = listing.get(feature["name"])
    if value is None:
        return float("nan")
    if feature["unit"] == "days since 1970-01-01":
        return (datetime.date.fromisoformat(value) - datetime.date(1970, 1, 1)).days
    return value


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(sys.argv[1])
    encoder = Encoder(session.get_modelmeta().custom_metadata_map)
    (quantiles,) = session.run(["price_quantiles"], encoder.inputs(json.loads(sys.argv[2])))
    print(encoder.median(quantiles))
