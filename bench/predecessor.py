"""A service like the predecessor (FastAPI, pandas, CatBoost), as a reference for `bench/serving`.

MODEL_FILE is the model file, MODEL_KIND how it is run: `predecessor`, `catboost`, `catboost-row` or, with Probeg's model
file, `onnxruntime`."""

from __future__ import annotations

import io
import json
import math
import os
from datetime import date

import catboost
import numpy
import onnxruntime
import pandas
from fastapi import FastAPI, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from predecessor_features import NUMBERS, TEXTS, features


class Car(BaseModel):
    """The JSON body for one car."""

    brand: str
    year: float
    mileage: float
    model: str | None = None
    body_type: str | None = None
    fuel_type: str | None = None
    engine_volume: float | None = None
    engine_power: float | None = None
    transmission: str | None = None
    drive: str | None = None
    wheel: str | None = None
    state: str | None = None
    pts: str | None = None
    customs: str | None = None


class Boosted:
    """CatBoost in one thread, since there is a worker per processor."""

    def __init__(self, file: str) -> None:
        self._model = catboost.CatBoostRegressor().load_model(file)

    def price_one(self, car: dict) -> float:
        """Values one car as a table of one row, prepared like a workbook."""
        return float(self.price(pandas.DataFrame([car]))[0])

    def price(self, table: pandas.DataFrame) -> numpy.ndarray:
        return numpy.exp(self._model.predict(features(table), thread_count=1))


class Predecessor(Boosted):
    """As the predecessor does it: one car is a table of one row, passed to CatBoost unprepared."""

    def price_one(self, car: dict) -> float:
        known = {name: car[name] or "missing" for name in TEXTS} | {name: car[name] for name in NUMBERS}
        return math.exp(self._model.predict(pandas.DataFrame([known]), thread_count=1)[0])


class BoostedRow(Boosted):
    """CatBoost without pandas for one car."""

    def price_one(self, car: dict) -> float:
        texts = [car[name] or "missing" for name in TEXTS]
        numbers = [math.nan if car[name] is None else float(car[name]) for name in NUMBERS]
        return math.exp(self._model.predict([*texts, *numbers], thread_count=1))


class Exported:
    """Probeg's model file in onnxruntime, with inputs prepared according to the metadata."""

    def __init__(self, file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._schema = json.loads(metadata["probeg.schema"])
        self._median = json.loads(metadata["probeg.quantiles"]).index(0.5)
        self._ids = [
            {tuple(key): identifier for identifier, key in enumerate(feature["values"], start=1)}
            for feature in self._schema["categorical"]
        ]

    def price_one(self, car: dict) -> float:
        return float(self._price([car])[0])

    def price(self, table: pandas.DataFrame) -> numpy.ndarray:
        return self._price(table.astype(object).where(table.notna(), None).to_dict("records"))

    def _price(self, rows: list[dict]) -> numpy.ndarray:
        ids = [[self._identifier(row, index) for index in range(len(self._ids))] for row in rows]
        numbers = [[self._number(row, feature) for feature in self._schema["numeric"]] for row in rows]
        inputs = {"categorical": numpy.array(ids, numpy.int64), "numeric": numpy.array(numbers, numpy.float32)}
        return self._session.run(["price_quantiles"], inputs)[0][:, self._median]

    def _identifier(self, row: dict, index: int) -> int:
        key = tuple(self._canonical(row, column) for column in self._schema["categorical"][index]["columns"])
        return self._ids[index].get(key, 0)

    def _canonical(self, row: dict, column: str) -> str | None:
        text = row.get(column)
        if text is None:
            return None
        folded = " ".join(str(text).split()).lower().replace("ё", "е")
        return self._schema["synonyms"].get(column, {}).get(folded, folded)

    def _number(self, row: dict, feature: dict) -> float:
        if feature["unit"] == "days since 1970-01-01":
            return (date.today() - date(1970, 1, 1)).days
        value = row.get(feature["name"])
        return float("nan") if value is None else float(value)


MODELS = {"predecessor": Predecessor, "catboost": Boosted, "catboost-row": BoostedRow, "onnxruntime": Exported}

app = FastAPI()
model = MODELS[os.environ["MODEL_KIND"]](os.environ["MODEL_FILE"])


@app.post("/get_sale_prediction_for_one_car")
async def value_one(car: Car) -> float:
    """Returns a bare number. Async, since a thread pool would take longer than the model."""
    return model.price_one(car.model_dump())


@app.post("/get_sale_prediction_for_multiple_cars")
def value_many(file: UploadFile) -> StreamingResponse:
    """Returns the workbook with a price column."""
    table = pandas.read_excel(io.BytesIO(file.file.read()))
    table["predict_value"] = model.price(table)
    output = io.BytesIO()
    table.to_excel(output, index=False)
    output.seek(0)
    return StreamingResponse(output, media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
