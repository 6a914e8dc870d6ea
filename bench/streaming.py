"""Streams synthetic listings out of PostgreSQL, trains on them, and prints each figure beside its reference."""

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
# The columns that the stream reads, of the rows that it reads.
COLUMNS = (
    "brand, model, vehicle_generation, year, mileage, body_type, fuel_type, engine_volume, engine_power, transmission, "
    "drive, wheel, state, owners_count, pts, customs, region, color, listing_date, price"
)
TRAIN = "bucket BETWEEN 0 AND 79"
CHUNK = 50_000
# One epoch of the network alone: what comes after it is the same whatever the order.
ALONE = ["backtest=false", "refit=false"]


@dataclass(frozen=True)
class Line:
    """A figure, that of its reference, and what the first is of the second."""

    name: str
    value: float
    reference_name: str
    reference: float

    @property
    def ratio(self) -> float:
        return self.value / self.reference

    def __str__(self) -> str:
        return f"| {self.name} | {plain(self.value)} | {self.reference_name} {plain(self.reference)} | {self.ratio:.3f} |"


def plain(figure: float) -> str:
    """As people write it."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.4g}"


def main() -> None:
    """The command `bench/streaming`."""
    options = parse_arguments()
    program = find_program(options.probeg)
    print("| figure | Probeg | reference | ratio |\n|---|---:|---|---:|", flush=True)
    lines: list[Line] = []

    def tell(*new: Line) -> None:
        lines.extend(new)
        print("\n".join(map(str, new)), flush=True)

    with Cluster() as cluster:
        few = filled(Probeg(program, cluster.create_database("few")), options.rows)
        tell(*measure_speed(few.database, program.parent / "stream", options))
        tell(*measure_order(few, options))
        if options.many_rows:
            many = filled(Probeg(program, cluster.create_database("many")), options.many_rows)
            tell(measure_memory(few, many, options))
    if options.json:
        figures = [{**asdict(line), "ratio": line.ratio} for line in lines]
        options.json.write_text(json.dumps(figures, indent=2))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("bench/streaming", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--rows", type=int, default=1_000_000, help="listings, stored by brand and date (default: 1000000)")
    parser.add_argument("--many-rows", type=int, default=10_000_000, help="listings to compare the memory at; 0: not at all")
    parser.add_argument("--memory", default="512MiB", help="the budget (default: 512MiB)")
    parser.add_argument("--epochs", type=int, default=3, help="to compare orders over (default: 3)")
    parser.add_argument("--repeat", type=int, default=3, help="how often speeds are measured; the best counts (default: 3)")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file as well")
    return parser.parse_args()


def filled(probeg: Probeg, rows: int) -> Probeg:
    """The same with a synthetic market in its database, in the worst order for a shuffle."""
    probeg.run("synth", "--rows", str(rows), "--clustered")
    return probeg


def measure_speed(database: Database, stream: Path, options: argparse.Namespace) -> list[Line]:
    """Rows a second out of the database, best of several."""
    if not stream.exists():
        raise SystemExit(f"{stream} does not exist; build it with `cargo build --release --locked -p probeg -p bench`")
    rows = int(database.query(f"SELECT count(*) FROM listings WHERE {TRAIN}").iloc[0, 0])

    def best(measure: Callable[[], float]) -> float:
        return max(measure() for _ in range(options.repeat))

    def own(what: str) -> Callable[[], float]:
        return lambda: own_speed(stream, what, database)

    def timed(read: Callable[[], int]) -> Callable[[], float]:
        def measure() -> float:
            began = time.monotonic()
            found = read()
            assert found == rows, f"{found} rows of {rows}"
            return rows / (time.monotonic() - began)

        return measure

    chunks = best(own("chunks"))
    batches = best(own("batches"))
    spool = best(own("spool"))
    raw = best(timed(lambda: copy_raw(database, rows)))
    by_pandas = best(timed(lambda: read_with_pandas(database)))
    by_dask = timed(lambda: read_with_dask(database))()
    return [
        Line("rows/s into arrow2 columns", chunks, "psql, binary COPY to nowhere", raw),
        Line("rows/s into arrow2 columns", chunks, "pandas read_sql in chunks", by_pandas),
        Line("rows/s into arrow2 columns", chunks, "Dask read_sql_table", by_dask),
        Line("rows/s into shuffled batches, from the database", batches, "psql, binary COPY to nowhere", raw),
        Line("rows/s into shuffled batches, from the spool", spool, "from the database", batches),
    ]


def own_speed(stream: Path, what: str, database: Database) -> float:
    """What the stream itself says."""
    output, _ = run_measured([str(stream), what, database.url])
    answer = json.loads(output)
    return answer["rows"] / answer["seconds"]


def copy_raw(database: Database, rows: int) -> int:
    """The bytes of the rows as fast as PostgreSQL gives them."""
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


def trained(probeg: Probeg, settings: list[str], options: argparse.Namespace, memory: str | None = None) -> tuple[dict[str, Any], Cost]:
    """A run and its epochs."""
    settings = [*ALONE, f"epochs={options.epochs}", f"patience={options.epochs}", *settings]
    answer, cost = probeg.train([*settings, f'memory="{memory or options.memory}"'])
    epochs = [epoch["metrics"] for epoch in probeg.show_run(answer["run"])["epochs"]]
    return {
        "loss": epochs[-1]["validation_loss"],
        "rows_per_second": max(epoch["rows_per_second"] for epoch in epochs),
        "seconds": statistics.median(
            later["seconds"] - earlier["seconds"] for earlier, later in zip([{"seconds": 0.0}, *epochs], epochs)
        ),
    }, cost


def measure_order(probeg: Probeg, options: argparse.Namespace) -> list[Line]:
    """The same steps in different orders of the clustered table, and what the order costs."""
    own, _ = trained(probeg, [], options)
    unspooled, _ = trained(probeg, ["spool=false"], options)
    full, _ = trained(probeg, [f"shuffle_rows={options.rows // 512 * 512}"], options, memory="16GiB")
    none, _ = trained(probeg, ["shuffle=false"], options)
    return [
        Line(f"validation loss after {options.epochs} epochs", own["loss"], "full shuffle in memory", full["loss"]),
        Line(f"validation loss after {options.epochs} epochs, no shuffle", none["loss"], "full shuffle in memory", full["loss"]),
        Line("samples/s while learning, with the spool", own["rows_per_second"], "from memory", full["rows_per_second"]),
        Line("samples/s while learning, without the spool", unspooled["rows_per_second"], "from memory", full["rows_per_second"]),
        Line("seconds an epoch, with the spool", own["seconds"], "without", unspooled["seconds"]),
    ]


def measure_memory(few: Probeg, many: Probeg, options: argparse.Namespace) -> Line:
    """The peak of whole runs of one epoch, backtest and refit included."""

    def peak(probeg: Probeg) -> float:
        _, cost = probeg.train(["epochs=1", f'memory="{options.memory}"'])
        return cost.peak_bytes / 1e6

    name = f"peak memory in MB, {options.many_rows:,} listings, budget {options.memory}"
    return Line(name, peak(many), f"{options.rows:,} listings", peak(few))


if __name__ == "__main__":
    main()
