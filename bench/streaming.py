"""Streams synthetic listings from PostgreSQL, trains on them, and prints each figure with its reference."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable

import dask.dataframe
import pandas
import sqlalchemy

from cluster import Cluster, Database
from probeg import Cost, Probeg, find_program, run_measured

EXAMPLE = "Example: bench/streaming --rows 1000000 --many-rows 10000000"
# The columns and rows that the stream reads.
COLUMNS = (
    "brand, model, vehicle_generation, year, mileage, body_type, fuel_type, engine_volume, engine_power, transmission, "
    "drive, wheel, state, owners_count, pts, customs, region, color, listing_date, price"
)
TRAIN = "bucket BETWEEN 0 AND 79"
CHUNK = 50_000
# Epochs only: backtest and refit do not depend on the order.
EPOCHS_ONLY = ["backtest=false", "refit=false"]


@dataclass(frozen=True)
class Line:
    """A figure, its reference and their ratio."""

    name: str
    value: float
    reference_name: str
    reference: float

    @property
    def ratio(self) -> float:
        return self.value / self.reference

    def __str__(self) -> str:
        return f"| {self.name} | {format_figure(self.value)} | {self.reference_name} {format_figure(self.reference)} | {self.ratio:.3f} |"


def format_figure(figure: float) -> str:
    """Formats a number for people."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.4g}"


def main() -> None:
    """The command `bench/streaming`."""
    options = parse_arguments()
    program = find_program(options.probeg)
    print("| figure | Probeg | reference | ratio |\n|---|---:|---|---:|", flush=True)
    lines: list[Line] = []

    def add(*new: Line) -> None:
        lines.extend(new)
        print("\n".join(map(str, new)), flush=True)

    with Cluster() as cluster:
        few = fill(Probeg(program, cluster.create_database("few")), options.rows)
        add(*measure_speed(few.database, program.parent / "stream", options))
        add(*measure_order(few, options))
        if options.many_rows:
            many = fill(Probeg(program, cluster.create_database("many")), options.many_rows)
            add(measure_memory(few, many, options))
    if options.json:
        figures = [{**asdict(line), "ratio": line.ratio} for line in lines]
        options.json.write_text(json.dumps(figures, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/streaming", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of listings, stored by brand and date (default: 1000000)")
    parser.add_argument("--many-rows", type=int, default=10_000_000, help="number of listings for the memory comparison; 0 skips it")
    parser.add_argument("--memory", default="512MiB", help="the memory budget (default: 512MiB)")
    parser.add_argument("--epochs", type=int, default=3, help="number of epochs for comparing orders (default: 3)")
    parser.add_argument("--repeat", type=int, default=3, help="number of repetitions, of which the best counts (default: 3)")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    return parser.parse_args()


def fill(probeg: Probeg, rows: int) -> Probeg:
    """Fills the database with a synthetic market in the worst order for shuffling."""
    probeg.run("synth", "--rows", str(rows), "--clustered")
    return probeg


def measure_speed(database: Database, stream: Path, options: argparse.Namespace) -> list[Line]:
    """Rows per second from the database, best of several."""
    if not stream.exists():
        raise SystemExit(f"{stream} does not exist; build it with `cargo build --release --locked -p probeg -p bench`")
    rows = int(database.query(f"SELECT count(*) FROM listings WHERE {TRAIN}").iloc[0, 0])

    def best(measure: Callable[[], float]) -> float:
        return max(measure() for _ in range(options.repeat))

    def own(mode: str) -> Callable[[], float]:
        return lambda: own_speed(stream, mode, database)

    def timed(read: Callable[[], int]) -> Callable[[], float]:
        def measure() -> float:
            started = time.monotonic()
            count = read()
            assert count == rows, f"{count} of {rows} rows"
            return rows / (time.monotonic() - started)

        return measure

    chunks = best(own("chunks"))
    batches = best(own("batches"))
    spool = best(own("spool"))
    raw = best(timed(lambda: copy_raw(database, rows)))
    by_pandas = best(timed(lambda: read_with_pandas(database)))
    by_dask = timed(lambda: read_with_dask(database))()
    return [
        Line("rows/s into arrow2 columns", chunks, "psql, binary COPY, discarded", raw),
        Line("rows/s into arrow2 columns", chunks, "pandas read_sql in chunks", by_pandas),
        Line("rows/s into arrow2 columns", chunks, "Dask read_sql_table", by_dask),
        Line("rows/s into shuffled batches, from the database", batches, "psql, binary COPY, discarded", raw),
        Line("rows/s into shuffled batches, from the spool", spool, "from the database", batches),
    ]


def own_speed(stream: Path, mode: str, database: Database) -> float:
    """The speed of the stream, as measured by the program itself."""
    output, _ = run_measured([str(stream), mode, database.url])
    result = json.loads(output)
    return result["rows"] / result["seconds"]


def copy_raw(database: Database, rows: int) -> int:
    """Copies the raw rows, as fast as PostgreSQL sends them."""
    copy = f"COPY (SELECT {COLUMNS} FROM listings WHERE {TRAIN}) TO STDOUT (FORMAT binary)"
    command = [str(database.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", copy, database.url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return rows


def address(database: Database) -> str:
    """As SQLAlchemy wants it."""
    return database.url.replace("postgres://", "postgresql+psycopg2://", 1)


def read_with_pandas(database: Database) -> int:
    """A server-side cursor, chunk by chunk."""
    engine = sqlalchemy.create_engine(address(database))
    with engine.connect().execution_options(stream_results=True, max_row_buffer=CHUNK) as connection:
        query = sqlalchemy.text(f"SELECT {COLUMNS} FROM listings WHERE {TRAIN}")
        return sum(len(chunk) for chunk in pandas.read_sql(query, connection, chunksize=CHUNK))


def read_with_dask(database: Database) -> int:
    """By ranges of the primary key, as its documentation advises; all rows, of which those that are wanted."""
    columns = [*COLUMNS.split(", "), "bucket"]
    table = dask.dataframe.read_sql_table("listings", address(database), index_col="id", columns=columns, bytes_per_chunk="64 MiB")
    return int((table["bucket"] <= 79).sum().compute(scheduler="threads"))


def train(probeg: Probeg, settings: list[str], options: argparse.Namespace, memory: str | None = None) -> tuple[dict[str, Any], Cost]:
    """Trains a version and returns the figures of its epochs."""
    settings = [*EPOCHS_ONLY, f"epochs={options.epochs}", f"patience={options.epochs}", *settings]
    result, cost = probeg.train([*settings, f'memory="{memory or options.memory}"'])
    epochs = [epoch["metrics"] for epoch in probeg.show_run(result["run"])["epochs"]]
    return {
        "loss": epochs[-1]["validation_loss"],
        "rows_per_second": max(epoch["rows_per_second"] for epoch in epochs),
        "seconds": statistics.median(
            later["seconds"] - earlier["seconds"] for earlier, later in zip([{"seconds": 0.0}, *epochs], epochs)
        ),
    }, cost


def measure_order(probeg: Probeg, options: argparse.Namespace) -> list[Line]:
    """Trains in different orders of the clustered table and compares loss and speed."""
    own, _ = train(probeg, [], options)
    unspooled, _ = train(probeg, ["spool=false"], options)
    full, _ = train(probeg, [f"shuffle_rows={options.rows // 512 * 512}"], options, memory="16GiB")
    none, _ = train(probeg, ["shuffle=false"], options)
    return [
        Line(f"validation loss after {options.epochs} epochs", own["loss"], "full shuffle in memory", full["loss"]),
        Line(f"validation loss after {options.epochs} epochs, no shuffle", none["loss"], "full shuffle in memory", full["loss"]),
        Line("samples/s in training, with the spool", own["rows_per_second"], "from memory", full["rows_per_second"]),
        Line("samples/s in training, without the spool", unspooled["rows_per_second"], "from memory", full["rows_per_second"]),
        Line("seconds per epoch, with the spool", own["seconds"], "without", unspooled["seconds"]),
    ]


def measure_memory(few: Probeg, many: Probeg, options: argparse.Namespace) -> Line:
    """The peak memory of whole runs of one epoch, including backtest and refit."""

    def peak(probeg: Probeg) -> float:
        _, cost = probeg.train(["epochs=1", f'memory="{options.memory}"'])
        return cost.peak_bytes / 1e6

    name = f"peak memory in MB, {options.many_rows:,} listings, budget {options.memory}"
    return Line(name, peak(many), f"{options.rows:,} listings", peak(few))


if __name__ == "__main__":
    main()
