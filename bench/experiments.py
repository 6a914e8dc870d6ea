"""Measures what experiments cost: the log of a run, the pages of runs, the search, work on two processors, and a killed process."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import optuna

from cluster import Cluster, Database
from endurance import running, seconds_until
from probeg import Probeg, find_program

EXAMPLE = "Example: bench/experiments listings.csv.gz"
FOLDER = Path(__file__).parent
SEARCH = FOLDER.parent / "target/release/search"
SPACE = FOLDER / "search.toml"
# A training in which the log has something to record.
SETTINGS = ("epochs=3", "patience=3", "backtest=false", "refit=false")
RUNS, POINTS, COMPARED = 2000, 1000, 20


@dataclass(frozen=True)
class Line:
    """A figure of the report."""

    name: str
    value: float
    unit: str
    reference: float | None = None

    def __str__(self) -> str:
        number = f"{self.value:.3g}"
        reference = "" if self.reference is None else f"{self.reference:.3g}"
        ratio = "" if self.reference is None else f"{self.value / self.reference:.3f}"
        return f"| {self.name} | {number} {self.unit} | {reference} | {ratio} |"


def main() -> None:
    """The command `bench/experiments`."""
    options = parse_arguments()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="probeg-experiments-") as folder, Cluster() as cluster:
        scratch = Path(folder)
        probeg = Probeg(find_program(options.probeg), cluster.create_database("listings"))
        probeg.import_file(options.file, scratch)
        print("| figure | value | reference | ratio |\n|---|---:|---:|---:|", flush=True)

        def add(*new: Line) -> None:
            for line in new:
                print(line, flush=True)
            lines.extend(new)

        add(*measure_log(probeg, options.repeats))
        add(*measure_search(options.seeds, options.trials))
        add(measure_workers(probeg, options.file, options.rows, scratch))
        add(measure_recovery(probeg, scratch))
        add(*measure_pages(probeg, scratch))
    if options.json:
        options.json.write_text(json.dumps([line.__dict__ for line in lines], indent=2))


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/experiments", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV or CSV.gz")
    parser.add_argument("--repeats", type=int, default=5, help="trainings with and without the log (default: 5)")
    parser.add_argument("--seeds", type=int, default=60, help="searches for each function (default: 60)")
    parser.add_argument("--trials", type=int, default=60, help="trials of a search (default: 60)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to value by workers (default: 1000000)")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    return parser.parse_args()


def measure_log(probeg: Probeg, repeats: int) -> list[Line]:
    """Trains in turn with and without the log; the reference is the time without it."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    cpu: dict[bool, list[float]] = {True: [], False: []}
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    for _ in range(repeats):
        for has_log in (True, False):
            _, cost = probeg.run("train", "--json", *settings, *([] if has_log else ["--no-log"]))
            seconds[has_log].append(cost.seconds)
            cpu[has_log].append(cost.cpu_seconds)
    return [
        Line(name, statistics.median(figures[True]), "s", statistics.median(figures[False]))
        for name, figures in (("a training with its log", seconds), ("processor time of it", cpu))
    ]


def valley(settings: dict[str, Any]) -> float:
    """A loss with one best region, on which two settings depend on each other."""
    rate, decay = math.log10(settings["learning_rate"]), math.log10(settings["weight_decay"])
    wide = (settings["d_block"] - 256) / 480
    deep = {1: 0.6, 2: 0.0, 3: 0.1, 4: 0.4}[settings["n_blocks"]]
    return (rate + 2.5 + 0.5 * wide) ** 2 + 0.2 * (decay + 2.0) ** 2 + 4 * (settings["dropout"] - 0.15) ** 2 + wide**2 + deep


def ripples(settings: dict[str, Any]) -> float:
    """A loss with many local minima."""
    rate, decay = math.log10(settings["learning_rate"]) + 2.2, math.log10(settings["weight_decay"]) + 3.1
    wave = sum(1 - math.cos(2 * math.pi * x) for x in (rate, decay, 4 * settings["dropout"]))
    return rate**2 + 0.5 * decay**2 + 0.3 * wave + abs(settings["d_block"] - 128) / 200 + 0.2 * abs(settings["n_blocks"] - 3)


def measure_search(seeds: int, trials: int) -> list[Line]:
    """The mean best loss over seeds; the reference is Optuna's TPE."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lines = []
    for function in (valley, ripples):
        own = [best_of_probeg(function, seed, trials) for seed in range(seeds)]
        other = [best_of_optuna(function, seed, trials) for seed in range(seeds)]
        error = math.sqrt((statistics.variance(own) + statistics.variance(other)) / seeds)
        lines.append(
            Line(f"best loss of `{function.__name__}` after {trials} trials (± {error:.3f})", statistics.mean(own), "", statistics.mean(other))
        )
    return lines


def best_of_probeg(function: Callable[[dict[str, Any]], float], seed: int, trials: int) -> float:
    """The best loss of a search by Probeg."""
    process = subprocess.Popen([SEARCH, SPACE, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    best = math.inf
    for _ in range(trials):
        loss = function(json.loads(process.stdout.readline()))
        best = min(best, loss)
        process.stdin.write(f"{loss!r}\n")
        process.stdin.flush()
    process.stdin.close()
    process.wait()
    return best


def best_of_optuna(function: Callable[[dict[str, Any]], float], seed: int, trials: int) -> float:
    """The best loss of a search by Optuna in the same space."""

    def objective(trial: optuna.Trial) -> float:
        return function({
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "d_block": trial.suggest_int("d_block", 32, 512, step=32),
            "n_blocks": trial.suggest_categorical("n_blocks", [1, 2, 3, 4]),
        })

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return study.best_value


def measure_workers(probeg: Probeg, file: Path, rows: int, scratch: Path) -> Line:
    """Values a file by two workers with a processor each; the reference is one worker."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("two processors are needed to compare two workers with one")
    cars = scratch / "cars.csv"
    repeat_rows(file, rows, cars)
    trained, _ = probeg.train(list(SETTINGS))
    times = {count: value_in_parts(probeg, cars, trained["version"], cpus[:count], scratch) for count in (1, 2)}
    return Line(f"rows valued a second by two workers, of {rows:,}", rows / times[2], "", rows / times[1])


def repeat_rows(file: Path, rows: int, cars: Path) -> None:
    """Writes a table of so many cars by repeating those of a file."""
    opened = subprocess.run(["gzip", "-cdf", str(file)], check=True, stdout=subprocess.PIPE).stdout
    header, *lines = opened.decode("utf-8-sig").splitlines(keepends=True)
    with cars.open("w") as output:
        output.write(header)
        for start in range(0, rows, len(lines)):
            output.writelines(lines[: rows - start])


def value_in_parts(probeg: Probeg, cars: Path, version: int, cpus: list[int], scratch: Path) -> float:
    """The seconds in which workers, each on its processor, value their parts."""
    folder = scratch / "parts"
    folder.mkdir()
    started = time.monotonic()
    workers = [
        subprocess.Popen(
            ["taskset", "-c", str(cpu), probeg.program, "predict", cars, "-o", folder, "--model", str(version), "--allow-unknown"]
            + ["--parts", str(len(cpus)), "--part", str(part)],
            env={**os.environ, "DATABASE_URL": probeg.database.url},
            stdout=subprocess.DEVNULL,
        )
        for part, cpu in enumerate(cpus)
    ]
    if any(worker.wait() for worker in workers):
        raise SystemExit("a worker failed")
    seconds = time.monotonic() - started
    shutil.rmtree(folder)
    return seconds


def measure_recovery(probeg: Probeg, scratch: Path) -> Line:
    """The seconds from the death of a process that trains a member until another one has taken it over."""
    settings = [part for setting in (*SETTINGS, "k=1", "epochs=50", "patience=50") for part in ("--set", setting)]
    planned, _ = probeg.run("train", "plan", "--json", *settings)
    run = str(json.loads(planned)["run"])

    def member(home: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DATABASE_URL": probeg.database.url, "PROBEG_HOME": str(scratch / home)}
        return subprocess.Popen([probeg.program, "train", "member", run, "0", "--wait"], env=environment, stderr=subprocess.DEVNULL)

    def holder() -> str:
        return probeg.database.query(f"SELECT coalesce(holder, 'nobody') AS holder FROM run_parts WHERE run_id = {run} AND stage = 'learning'")["holder"][0]

    first = member("first")
    seconds_until(lambda: f"process {first.pid} on" in holder(), timeout=120)
    first.kill()
    first.wait()
    second = member("second")
    seconds = seconds_until(lambda: f"process {second.pid} on" in holder(), timeout=120)
    second.send_signal(signal.SIGTERM)
    second.wait()
    return Line("from a killed process to the one that takes over", seconds, "s")


def measure_pages(probeg: Probeg, scratch: Path) -> list[Line]:
    """Opens the pages of many runs in a browser, each several times."""
    fill_runs(probeg.database)
    runs = probeg.database.query(f"SELECT id FROM runs WHERE label LIKE 'run %' ORDER BY id LIMIT {COMPARED}")["id"]
    environment = {**os.environ, "DATABASE_URL": probeg.database.url, "PROBEG_HOME": str(scratch / "server"), "RUST_LOG": "warn"}
    service = [str(probeg.program), "serve", "--bind", "127.0.0.1:0"]
    with running(service, environment) as server, Browser() as browser:
        address = f"http://{server.address}"
        table = "return document.querySelectorAll('#content tbody tr').length > 0"
        curves = "return document.querySelectorAll('#content svg path, #content svg polyline').length > 0"
        compare = f"{address}/experiments/compare?{'&'.join(f'run={run}' for run in runs)}"
        return [
            Line(name, statistics.median(browser.open(url, is_ready) for _ in range(5)), "s")
            for name, url, is_ready in (
                (f"the table of {RUNS:,} runs in a browser", f"{address}/experiments", table),
                (f"the curves of {COMPARED} runs of {POINTS:,} points", compare, curves),
            )
        ]


def fill_runs(database: Database) -> None:
    """Adds runs with curves."""
    statement = f"""
        INSERT INTO runs (label, seed, config, task, status, finished_at, rows, best)
        SELECT 'run ' || i, i, (SELECT config FROM runs ORDER BY id LIMIT 1), 'price', 'completed', now(),
            '{{"train": 1000, "validation": 100, "test": 100}}',
            jsonb_build_object('epoch', 1, 'validation_loss', random(), 'validation_mape', random())
        FROM generate_series(1, {RUNS}) AS i;
        INSERT INTO run_figures SELECT id, 'train_loss', step, exp(-step / 300.0) + random() / 10, now()
        FROM runs, generate_series(1, {POINTS}) AS step WHERE label LIKE 'run %';
        ANALYZE"""
    subprocess.run([database.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, database.url], check=True)


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Browser:
    """A headless Chromium, driven through WebDriver."""

    def __init__(self) -> None:
        port = free_port()
        self._driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        self._address = f"http://127.0.0.1:{port}"
        seconds_until(lambda: answers(f"{self._address}/status"), timeout=60)
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,800"]
        capabilities = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}
        self._session = ""
        self._session = f"/session/{self._call('/session', {'capabilities': capabilities})['sessionId']}"

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.terminate()
        self._driver.wait()

    def open(self, url: str, is_ready: str) -> float:
        """The seconds from the navigation until the script says that the page is ready."""
        self._call("/url", {"url": "about:blank"})
        started = time.monotonic()
        self._call("/url", {"url": url})
        seconds_until(lambda: self._call("/execute/sync", {"script": is_ready, "args": []}), timeout=60)
        return time.monotonic() - started

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self._address + self._session + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["value"]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(1)
