"""Sends the same load to Probeg and to reference services and prints the ratios."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import catboost
import numpy
import onnx
import onnx.numpy_helper
import pandas

from cluster import Cluster, Database
from predecessor_features import NUMBERS, TEXTS, features
from probeg import Probeg, find_program

EXAMPLE = "Example: bench/serving listings.csv.gz"
CONNECTIONS = (1, 16, 128)
OWN = "Probeg"
WITHOUT_INFERENCE = "the same service without inference"
CAR = json.loads((Path(__file__).parent / "car.json").read_text())
# The parameters of the predecessor's model.
PREDECESSOR_TREES, PREDECESSOR_DEPTH = 500, 4


@dataclass(frozen=True)
class Service:
    """A service under test: its command, and its paths for one car and for a workbook."""

    name: str
    command: list[str]
    path: str
    bulk: str | None
    environment: dict[str, str]


@dataclass(frozen=True)
class Running:
    """A running service."""

    address: str
    process: int


@dataclass(frozen=True)
class Load:
    """The throughput and latency of a service, and the CPU time per request."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def main() -> None:
    """The command `bench/serving`."""
    options = parse_arguments()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed (Debian: wrk)")
    self_check()
    if not options.file:
        return
    program = find_program(options.probeg)
    limit = program.parent / "limit"
    if not limit.exists():
        raise SystemExit(f"{limit} does not exist; build it with `cargo build --release --locked -p probeg -p bench`")
    with tempfile.TemporaryDirectory(prefix="probeg-serving-") as folder, Cluster() as cluster:
        scratch = Path(folder)
        # For the files of runs and servers.
        os.environ["PROBEG_HOME"] = str(scratch / "home")
        probeg = Probeg(program, cluster.create_database("listings"))
        probeg.import_file(options.file, scratch)
        probeg.run("train", "--promote", *(part for setting in options.set for part in ("--set", setting)))
        probeg.export(1, scratch / "model.onnx")
        train_catboost(probeg.database, PREDECESSOR_TREES, PREDECESSOR_DEPTH, scratch / "predecessor.cbm")
        train_catboost(probeg.database, options.trees, options.depth, scratch / "model.cbm")
        workbook = write_workbook(probeg.database, options.rows, scratch / "cars.xlsx")
        probeg.run("models", "import", str(write_constant_model(scratch / "model.onnx", scratch / "constant.onnx")))
        services = [
            probeg_service(OWN, program, probeg.database),
            predecessor_service("the predecessor, one process", "predecessor", scratch / "predecessor.cbm", workers=1),
            predecessor_service("FastAPI + CatBoost", "catboost", scratch / "model.cbm"),
            predecessor_service("FastAPI + CatBoost, one car without pandas", "catboost-row", scratch / "model.cbm"),
            predecessor_service("FastAPI + onnxruntime", "onnxruntime", scratch / "model.onnx"),
            probeg_service(WITHOUT_INFERENCE, program, probeg.database),
            Service("a bare axum route", [str(limit), "serve", "127.0.0.1:PORT"], "/v1/valuations", None, {}),
        ]
        loads, workbooks = {}, {}
        for service in services:
            probeg.run("models", "promote", "2" if service.name == WITHOUT_INFERENCE else "1")
            with running(service, scratch) as server:
                loads[service.name] = {}
                for connections in CONNECTIONS:
                    result = loads[service.name][connections] = best_load(server, service.path, connections, options)
                    if connections == 1:
                        reject_waiting(service.name, result)
                if service.bulk:
                    workbooks[service.name] = min(upload(f"http://{server.address}{service.bulk}", workbook) for _ in range(options.repeat))
        copied = min(float(subprocess.check_output([str(limit), "copy", str(workbook), str(scratch / "copy.xlsx")])) for _ in range(options.repeat))
    report(loads, workbooks, copied, options)


def probeg_service(name: str, program: Path, database: Database) -> Service:
    """Probeg with its default settings."""
    command = [str(program), "serve", "--bind", "127.0.0.1:PORT"]
    bulk = "/v1/valuations/xlsx" if name == OWN else None
    return Service(name, command, "/v1/valuations", bulk, {"DATABASE_URL": database.url})


def predecessor_service(name: str, kind: str, model: Path, workers: int | None = None) -> Service:
    """FastAPI as in production: uvicorn on uvloop and httptools, one write per response, no access log, one worker per
    processor by default."""
    uvicorn = [sys.executable, "-m", "uvicorn", "predecessor:app", "--loop", "uvloop", "--http", "one_write:OneWrite"]
    command = [*uvicorn, "--workers", str(workers or os.cpu_count()), "--log-level", "warning", "--port", "PORT"]
    # The variant without pandas differs for single cars only.
    bulk = None if kind == "catboost-row" else "/get_sale_prediction_for_multiple_cars"
    return Service(name, command, "/get_sale_prediction_for_one_car", bulk, {"MODEL_KIND": kind, "MODEL_FILE": str(model)})


def reject_waiting(name: str, alone: Load) -> None:
    """Aborts the benchmark if the latency of a service is not explained by its CPU time."""
    if waits(alone):
        raise SystemExit(
            f"{name} is rejected: at one connection a request takes {alone.p50_ms:.2f} ms but only {alone.cpu_us / 1000:.2f} ms of CPU. "
            "It waits for something, such as a delayed acknowledgement of TCP, or the machine is busy; a comparison would be meaningless."
        )


def waits(alone: Load) -> bool:
    """Whether the latency at one connection exceeds what the CPU time explains."""
    return alone.p50_ms > 3 * alone.cpu_us / 1000 + 1


def self_check() -> None:
    """Checks that a service that waits for an acknowledgement is rejected, and the same service without the wait is not."""
    options = argparse.Namespace(seconds=1, repeat=1)
    with tempfile.TemporaryDirectory(prefix="probeg-serving-") as folder:
        for arguments, expected in (([], True), (["one-write"], False)):
            command = [sys.executable, "waiting.py", "PORT", *arguments]
            with running(Service("waiting.py", command, "/", None, {}), Path(folder)) as server:
                alone = best_load(server, "/", 1, options)
            if waits(alone) != expected:
                raise SystemExit(f"self-check: {' '.join(command)} should be {'rejected' if expected else 'accepted'}: {alone}")
    print("self-check: a service that waits is rejected, one that does not is accepted", file=sys.stderr)


def cpu_seconds(process: int) -> float:
    """The CPU time of a process and its descendants, including exited ones."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is a name in parentheses, which may contain spaces and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        ticks[int(stat.parent.name)] = sum(int(field) for field in fields[11:15])
    family = {process}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(ticks.get(member, 0) for member in family) / os.sysconf("SC_CLK_TCK")


def write_constant_model(file: Path, constant: Path) -> Path:
    """Writes Probeg's model file with a graph of constant prices: the same service, without inference."""
    model = onnx.load(file)
    width = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    prices = numpy.linspace(1e6, 1.2e6, width, dtype=numpy.float32)[None]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    zeros = numpy.zeros((model.graph.input[1].type.tensor_type.shape.dim[1].dim_value, width), numpy.float32)
    constants = {"prices": prices, "zero": numpy.zeros(1, numpy.float32), "zeros": zeros}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    node = onnx.helper.make_node
    model.graph.node.extend(
        [
            node("IsNaN", ["numeric"], ["missing"]),
            node("Where", ["missing", "zero", "zero"], ["nothing"]),
            node("MatMul", ["nothing", "zeros"], ["rows"]),
            node("Add", ["rows", "prices"], [model.graph.output[0].name]),
        ]
    )
    # Adjust the golden rows, which the server checks.
    for entry in model.metadata_props:
        if entry.key == "probeg.golden":
            golden = json.loads(entry.value)
            rows = len(golden["price_quantiles"]) // width
            golden["price_quantiles"] = prices[0].tolist() * rows
            entry.value = json.dumps(golden)
    onnx.save(model, constant)
    return constant


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/serving", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, nargs="?", help="listings with prices: CSV or CSV.gz; without it, only the self-check runs")
    parser.add_argument("--rows", type=int, default=10_000, help="number of cars in the workbook (default: 10000)")
    parser.add_argument("--trees", type=int, default=PREDECESSOR_TREES, help="number of trees of the second CatBoost model (default: 500)")
    parser.add_argument("--depth", type=int, default=PREDECESSOR_DEPTH, help="depth of its trees (default: 4)")
    parser.add_argument("--seconds", type=int, default=5, help="duration of each load (default: 5)")
    parser.add_argument("--repeat", type=int, default=3, help="number of repetitions, of which the best counts (default: 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to `probeg train`")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    return parser.parse_args()


def train_catboost(database: Database, trees: int, depth: int, file: Path) -> None:
    """Trains a model like the predecessor's: on its columns, predicting the log price."""
    table = database.query(f"SELECT {', '.join([*TEXTS, *NUMBERS])}, price FROM listings WHERE bucket < 80")
    model = catboost.CatBoostRegressor(iterations=trees, depth=depth, learning_rate=0.1, verbose=False, allow_writing_files=False)
    model.fit(features(table), numpy.log(table["price"].astype(float)), cat_features=TEXTS)
    model.save_model(str(file))


def write_workbook(database: Database, rows: int, file: Path) -> Path:
    """Writes a workbook of cars without prices."""
    table = database.query(f"SELECT {', '.join([*TEXTS, *NUMBERS])} FROM listings WHERE bucket >= 90 ORDER BY id")
    table[NUMBERS] = table[NUMBERS].astype(float)
    pandas.concat([table] * (rows // len(table) + 1)).head(rows).to_excel(file, index=False)
    return file


@contextmanager
def running(service: Service, scratch: Path) -> Iterator[Running]:
    """Runs a service on a free port, replacing PORT in its command, for the duration of a `with` block. It logs to a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [argument.replace("PORT", str(port)) for argument in service.command]
    environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"} | service.environment
    log = scratch / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent, stdout=output, stderr=output)
    try:
        for _ in range(600):
            try:
                post(f"http://127.0.0.1:{port}{service.path}", json.dumps(CAR).encode(), "application/json")
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"{' '.join(command)} does not respond:\n{log.read_text(errors='replace')[-2000:]}")
        yield Running(f"127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def post(url: str, body: bytes, media_type: str) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": media_type})
    with urllib.request.urlopen(request) as response:
        return response.read()


def upload(url: str, workbook: Path) -> float:
    """The time from the first byte sent to the last received, in seconds."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="cars.xlsx"\r\n\r\n'
    body = head.encode() + workbook.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    started = time.monotonic()
    assert post(url, body, f"multipart/form-data; boundary={boundary}")[:2] == b"PK"
    return time.monotonic() - started


def best_load(service: Running, path: str, connections: int, options: argparse.Namespace) -> Load:
    """The best of several loads, since other work on the machine can only slow it down."""
    loads = (load(service, path, connections, options.seconds) for _ in range(options.repeat))
    return max(loads, key=lambda load: load.requests_per_second)


def load(service: Running, path: str, connections: int, seconds: int) -> Load:
    """Runs wrk with one thread."""
    body = json.dumps(CAR, ensure_ascii=False)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[[{body}]]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10s", "--latency", "-s", script.name, f"http://{service.address}{path}"]
        before = cpu_seconds(service.process)
        output = subprocess.check_output(command, text=True)
        cpu = cpu_seconds(service.process) - before
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    p50, p99 = (milliseconds(output, percent) for percent in (50, 99))
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return Load(float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), p50, p99, cpu * 1e6 / requests)


def milliseconds(output: str, percent: int) -> float:
    value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def report(loads: dict[str, dict[int, Load]], workbooks: dict[str, float], copied: float, options: argparse.Namespace) -> None:
    """Prints Markdown tables."""
    print("| single cars per second | " + " | ".join(f"{count} connections" for count in CONNECTIONS) + " |")
    print("|---|" + "---:|" * len(CONNECTIONS))
    for name, by_connections in loads.items():
        cells = [f"{load.requests_per_second:,.0f} ({load.p50_ms:.2f} / {load.p99_ms:.2f}; {load.cpu_us:,.0f} µs)" for load in by_connections.values()]
        print(f"| {name} (p50 / p99; CPU per request) | " +  " | ".join(cells) + " |")
    own = loads[OWN]
    for name in list(loads)[1:]:
        ratios = [own[count].requests_per_second / loads[name][count].requests_per_second for count in CONNECTIONS]
        print(f"| Probeg to {name} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    print(f"\n| workbook of {options.rows:,} cars | seconds | Probeg relative to it |\n|---|---:|---:|")
    for name, seconds in {**workbooks, "reading and writing it without valuations": copied}.items():
        print(f"| {name} | {seconds:.2f} | {workbooks[OWN] / seconds:.3f} |")
    if options.json:
        figures = {name: {count: vars(load) for count, load in by_count.items()} for name, by_count in loads.items()}
        options.json.write_text(json.dumps({"loads": figures, "workbooks": workbooks, "copied": copied}, indent=2))


if __name__ == "__main__":
    main()
