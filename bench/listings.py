"""The listings stored by Probeg, as input for all contenders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy
import pandas

from cluster import Database

# Columns of the listings table that are not columns of a listing.
BOOKKEEPING = {"id", "content_hash", "listing_group", "bucket", "car_group", "source", "imported_at", "price"}
MISSING = "missing"
DAYS_PER_YEAR = 365.2425
# Columns that are only unique together with others, as in Probeg's feature schema.
COMPOSED = {"model": ["brand", "model"], "vehicle_generation": ["brand", "model", "vehicle_generation"]}
DATE = "listing_date"
# The fields of a listing other than its date, those first that people fill in most: `FIELDS` in domain/src/form.rs.
FIELDS = (
    ("brand", "model", "year", "mileage")
    + ("engine_volume", "engine_power", "transmission")
    + ("drive", "body_type")
    + ("fuel_type", "vehicle_generation", "color", "region", "owners_count", "wheel", "pts", "state", "customs")
)
# The numbers of leading fields in the short forms: `SHORT_FORMS` in domain/src/form.rs.
SHORT_FORMS = (4, 7, 9)
# The age of the oldest listing of the newest snapshot: `SNAPSHOT_DAYS` in domain/src/calibration.rs.
SNAPSHOT_DAYS = 60
# The minimum size of a snapshot for figures of its own.
MIN_SNAPSHOT_ROWS = 50


@dataclass(frozen=True)
class Listings:
    """Listings with their prices, and features for gradient boosting."""

    table: pandas.DataFrame
    texts: list[str]
    numbers: list[str]

    @property
    def prices(self) -> numpy.ndarray:
        """The asking prices."""
        return self.table["price"].to_numpy(numpy.float64)

    @property
    def groups(self) -> numpy.ndarray:
        """A number identifying the car: relisted cars share one."""
        return self.table["listing_group"].astype("category").cat.codes.to_numpy()

    def __len__(self) -> int:
        return len(self.table)

    def between_buckets(self, first: int, last: int) -> Listings:
        """The listings of a split, given by its buckets."""
        bucket = self.table["bucket"].astype(int)
        return Listings(self.table[bucket.between(first, last)].reset_index(drop=True), self.texts, self.numbers)

    def shorten(self, fields: int | None) -> Listings:
        """The listings with the date and the first fields of a form only; unchanged if there is no number of fields."""
        kept = {*FIELDS[:fields], DATE}
        texts, numbers = ([name for name in names if name in kept] for names in (self.texts, self.numbers))
        return Listings(self.table, texts, numbers)

    def newest_snapshot(self) -> numpy.ndarray | None:
        """Which listings are of the last days, as in Probeg's accuracy card; `None` if too few are dated."""
        days = self.table[DATE].astype(numpy.float64).to_numpy()
        is_newest = days > numpy.max(days, initial=-numpy.inf, where=~numpy.isnan(days)) - SNAPSHOT_DAYS
        return is_newest if is_newest.sum() >= MIN_SNAPSHOT_ROWS else None

    def features(self) -> pandas.DataFrame:
        """The features for gradient boosting: all columns, the age, and the mileage per year."""
        numbers = self.table[self.numbers].astype(numpy.float64)
        if {"year", DATE, "mileage"} <= set(self.numbers):
            age = 1970.0 + numbers[DATE] / DAYS_PER_YEAR - numbers["year"]
            numbers = numbers.assign(age=age, mileage_per_year=numbers["mileage"] / (age.clip(lower=0.0) + 0.5))
        return pandas.concat([numbers, self._categories()], axis=1)

    def _categories(self) -> pandas.DataFrame:
        known = self.table[self.texts].fillna(MISSING).astype(object)
        return pandas.DataFrame({name: _joined(known, COMPOSED.get(name, [name])) for name in self.texts}, dtype=object)

    def write_unpriced(self, file: Path) -> None:
        """Writes the listings, without prices, as a table that `probeg predict` reads."""
        table = self.table[self.texts + self.numbers].copy()
        if DATE in table:
            days = table[DATE].astype(numpy.float64)
            table[DATE] = pandas.to_datetime(days, unit="D").dt.strftime("%Y-%m-%d")
        table.to_csv(file, index=False)


def _joined(table: pandas.DataFrame, columns: list[str]) -> pandas.Series:
    return reduce(lambda key, column: key + "|" + table[column], columns[1:], table[columns[0]])


def read_listings(database: Database) -> Listings:
    """Reads the listings table; column types tell texts from numbers."""
    columns = database.query(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = 'listings' AND table_schema = 'public' ORDER BY ordinal_position"
    )
    columns = columns[~columns["column_name"].isin(BOOKKEEPING)]
    texts = columns.loc[columns["data_type"] == "text", "column_name"].tolist()
    numbers = columns.loc[columns["data_type"] != "text", "column_name"].tolist()
    dates = set(columns.loc[columns["data_type"] == "date", "column_name"])
    expressions = [f"{name} - DATE '1970-01-01' AS {name}" if name in dates else name for name in texts + numbers]
    table = database.query(
        f"SELECT id, content_hash, listing_group, bucket, price, {', '.join(expressions)} FROM listings ORDER BY id"
    )
    return Listings(table, texts, numbers)
