"""The predecessor's feature columns."""

from __future__ import annotations

import pandas

TEXTS = ["brand", "model", "body_type", "fuel_type", "transmission", "drive", "wheel", "state", "pts", "customs"]
NUMBERS = ["year", "mileage", "engine_volume", "engine_power"]


def features(table: pandas.DataFrame) -> pandas.DataFrame:
    """Selects and converts the features for CatBoost."""
    table = table.reindex(columns=[*TEXTS, *NUMBERS])
    table[TEXTS] = table[TEXTS].fillna("missing").astype(str)
    table[NUMBERS] = table[NUMBERS].astype(float)
    return table
