"""Loads Probeg and the services that it is measured against with the same requests, and prints the ratios."""

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
# As the predecessor trained its own.
PREDECESSOR_TREES, PREDECESSOR_DEPTH = 500, 4


@dataclass(frozen=True)
class Service:
    """What is measured: how it is started, and where it takes one car and a workbook."""

    name: str
    command: list[str]
    path: str
    bulk: str | None
    environment: dict[str, str]


@dataclass(frozen=True)
class Running:
    """A service that answers."""

    address: str
    process: int


@dataclass(frozen=True)
class Load:
    """What a service bore, and what a request cost its processes."""

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
        # Where runs and servers leave their files.
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
            with running(service, scratch) as it:
                loads[service.name] = {}
                for connections in CONNECTIONS:
                    found = loads[service.name][connections] = best_load(it, service.path, connections, options)
                    if connections == 1:
                        refuse_waiting(service.name, found)
                if service.bulk:
                    workbooks[service.name] = min(upload(f"http://{it.address}{service.bulk}", workbook) for _ in range(options.repeat))
        copied = min(float(subprocess.check_output([str(limit), "copy", str(workbook), str(scratch / "copy.xlsx")])) for _ in range(options.repeat))
    report(loads, workbooks, copied, options)


def probeg_service(name: str, program: Path, database: Database) -> Service:
    """Probeg as a user starts it."""
    command = [str(program), "serve", "--bind", "127.0.0.1:PORT"]
    bulk = "/v1/valuations/xlsx" if name == OWN else None
    return Service(name, command, "/v1/valuations", bulk, {"DATABASE_URL": database.url})


def predecessor_service(name: str, kind: str, model: Path, workers: int | None = None) -> Service:
    """FastAPI in production: uvicorn on uvloop and httptools, an answer a write, no access log, a worker a processor unless
    it is said how many."""
    uvicorn = [sys.executable, "-m", "uvicorn", "predecessor:app", "--loop", "uvloop", "--http", "one_write:OneWrite"]
    command = [*uvicorn, "--workers", str(workers or os.cpu_count()), "--log-level", "warning", "--port", "PORT"]
    # Whoever leaves out pandas for one car still reads workbooks with it.
    bulk = None if kind == "catboost-row" else "/get_sale_prediction_for_multiple_cars"
    return Service(name, command, "/get_sale_prediction_for_one_car", bulk, {"MODEL_KIND": kind, "MODEL_FILE": str(model)})


def refuse_waiting(name: str, alone: Load) -> None:
    """Ends the benchmark where a service waits for something other than a processor: its latency is not its cost."""
    if waits(alone):
        raise SystemExit(
            f"{name} is refused: at one connection a request takes {alone.p50_ms:.2f} ms but only {alone.cpu_us / 1000:.2f} ms of CPU. "
            "It waits for something, such as a delayed acknowledgement of TCP, or the machine is busy; a comparison would say nothing."
        )


def waits(alone: Load) -> bool:
    """Whether a load at one connection shows a latency that no work explains."""
    return alone.p50_ms > 3 * alone.cpu_us / 1000 + 1


def self_check() -> None:
    """A service that waits for an acknowledgement must be refused; the same service without the wait must not."""
    options = argparse.Namespace(seconds=1, repeat=1)
    with tempfile.TemporaryDirectory(prefix="probeg-serving-") as folder:
        for arguments, expected in (([], True), (["one-write"], False)):
            command = [sys.executable, "waiting.py", "PORT", *arguments]
            with running(Service("waiting.py", command, "/", None, {}), Path(folder)) as it:
                alone = best_load(it, "/", 1, options)
            if waits(alone) != expected:
                raise SystemExit(f"self-check: {' '.join(command)} should be {'refused' if expected else 'accepted'}: {alone}")
    print("self-check: a service that waits is refused, one that does not is accepted", file=sys.stderr)


def cpu_seconds(process: int) -> float:
    """What a process and those that it started have computed, the ones that ended included."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is a name in brackets, which may hold spaces and brackets.
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
    """Probeg's model file with a graph that computes nothing: the same service, without inference."""
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
    # The rows that a server checks a model by have the prices of this graph.
    for entry in model.metadata_props:
        if entry.key == "probeg.golden":
            golden = json.loads(entry.value)
            rows = len(golden["price_quantiles"]) // width
            golden["price_quantiles"] = prices[0].tolist() * rows
            entry.value = json.dumps(golden)
    onnx.save(model, constant)
    return constant


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("bench/serving", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, nargs="?", help="listings with prices: CSV or CSV.gz; without it, only the self-check runs")
    parser.add_argument("--rows", type=int, default=10_000, help="cars of the workbook (default: 10000)")
    parser.add_argument("--trees", type=int, default=PREDECESSOR_TREES, help="of CatBoost beside the predecessor's (default: 500)")
    parser.add_argument("--depth", type=int, default=PREDECESSOR_DEPTH, help="of each of these trees (default: 4)")
    parser.add_argument("--seconds", type=int, default=5, help="of each load (default: 5)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each load is put on and a workbook is sent; the best counts (default: 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to `probeg train`")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file as well")
    return parser.parse_args()


def train_catboost(database: Database, trees: int, depth: int, file: Path) -> None:
    """A model of the predecessor's kind: its columns, the logarithm of the price."""
    table = database.query(f"SELECT {', '.join([*TEXTS, *NUMBERS])}, price FROM listings WHERE bucket < 80")
    model = catboost.CatBoostRegressor(iterations=trees, depth=depth, learning_rate=0.1, verbose=False, allow_writing_files=False)
    model.fit(features(table), numpy.log(table["price"].astype(float)), cat_features=TEXTS)
    model.save_model(str(file))


def write_workbook(database: Database, rows: int, file: Path) -> Path:
    """Cars without prices."""
    table = database.query(f"SELECT {', '.join([*TEXTS, *NUMBERS])} FROM listings WHERE bucket >= 90 ORDER BY id")
    table[NUMBERS] = table[NUMBERS].astype(float)
    pandas.concat([table] * (rows // len(table) + 1)).head(rows).to_excel(file, index=False)
    return file


@contextmanager
def running(service: Service, scratch: Path) -> Iterator[Running]:
    """A service for the time of a `with` block, PORT in its command replaced, once it answers. It logs to a file."""
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
            raise SystemExit(f"{' '.join(command)} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
        yield Running(f"127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def post(url: str, body: bytes, media_type: str) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": media_type})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def upload(url: str, workbook: Path) -> float:
    """Seconds from the first byte sent to the last received."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="cars.xlsx"\r\n\r\n'
    body = head.encode() + workbook.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    began = time.monotonic()
    assert post(url, body, f"multipart/form-data; boundary={boundary}")[:2] == b"PK"
    return time.monotonic() - began


def best_load(service: Running, path: str, connections: int, options: argparse.Namespace) -> Load:
    """The best of several: whatever else a machine does makes it slower."""
    loads = (load(service, path, connections, options.seconds) for _ in range(options.repeat))
    return max(loads, key=lambda load: load.requests_per_second)


def load(service: Running, path: str, connections: int, seconds: int) -> Load:
    """What wrk measures with one thread."""
    body = json.dumps(CAR, ensure_ascii=False)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[[{body}]]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "10s", "--latency", "-s", script.name, f"http://{service.address}{path}"]
        before = cpu_seconds(service.process)
        output = subprocess.check_output(command, text=True)
        computed = cpu_seconds(service.process) - before
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    p50, p99 = (milliseconds(output, percent) for percent in (50, 99))
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return Load(float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]), p50, p99, computed * 1e6 / requests)


def milliseconds(output: str, percent: int) -> float:
    value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def report(loads: dict[str, dict[int, Load]], workbooks: dict[str, float], copied: float, options: argparse.Namespace) -> None:
    """Tables in Markdown."""
    print("| single cars a second | " + " | ".join(f"{count} connections" for count in CONNECTIONS) + " |")
    print("|---|" + "---:|" * len(CONNECTIONS))
    for name, by_connections in loads.items():
        cells = [f"{it.requests_per_second:,.0f} ({it.p50_ms:.2f} / {it.p99_ms:.2f}; {it.cpu_us:,.0f} µs)" for it in by_connections.values()]
        print(f"| {name} (p50 / p99; CPU a request) | " + " | ".join(cells) + " |")
    own = loads[OWN]
    for name in list(loads)[1:]:
        ratios = [own[count].requests_per_second / loads[name][count].requests_per_second for count in CONNECTIONS]
        print(f"| Probeg to {name} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    print(f"\n| workbook of {options.rows:,} cars | seconds | Probeg takes of it |\n|---|---:|---:|")
    for name, seconds in {**workbooks, "reading and writing it without valuations": copied}.items():
        print(f"| {name} | {seconds:.2f} | {workbooks[OWN] / seconds:.3f} |")
    if options.json:
        figures = {name: {count: vars(it) for count, it in by.items()} for name, by in loads.items()}
        options.json.write_text(json.dumps({"loads": figures, "workbooks": workbooks, "copied": copied}, indent=2))


if __name__ == "__main__":
    main()
