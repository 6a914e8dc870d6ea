"""Prices of a CSV by the ONNX file alone: predict.py MODEL.onnx CARS.csv prints one price a line.

MODEL.onnx is any file with `probeg.schema`, before or after its import.
"""

import csv
import json
import sys

import onnxruntime

from train import encode

model, cars = sys.argv[1:3]
session = onnxruntime.InferenceSession(model)
schema = json.loads(session.get_modelmeta().custom_metadata_map["probeg.schema"])
with open(cars, encoding="utf-8-sig", newline="") as file:
    categorical, numeric = encode(list(csv.DictReader(file)), schema)
(prices,) = session.run(None, {"categorical": categorical, "numeric": numeric})
for row in prices:
    # The median is in the middle of the quantiles; a price alone is its own middle.
    print(float(row[len(row) // 2]))
