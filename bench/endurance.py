"""Stress-tests the server: overload, memory growth, model swaps, stops and database outages; exits with 1 if a limit is exceeded."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator

EXAMPLE = "Example: bench/endurance listings.csv.gz"
RELEASE = Path(__file__).resolve().parent.parent / "target/release"
LOAD = RELEASE / "load"
PATH = "/v1/valuations"
TOKEN = "secret"
# A short training of the full-size network: with a smaller one, a rejection would cost as much as a valuation.
QUICK = ("epochs=1", "backtest=false", "refit=false")
BASE_CONNECTIONS = 16
CONNECTIONS = (BASE_CONNECTIONS, 64, 128)
CARS = 50
WARM_UP_REQUESTS = 50_000
LEAK_REQUESTS = 100_000
MAX_GROWTH_MB = 50
OUTAGE_RATE = 500
# Duration of a load that is stopped early.
UNLIMITED_SECONDS = 24 * 3600
# Timeout for actions that should be immediate: recovery, a model swap, the exit of a process.
TIMEOUT = 30
CAR = json.loads((Path(__file__).parent / "car.json").read_text())


@dataclass(frozen=True)
class Check:
    """A figure and its limits, if any."""

    name: str
    value: float
    unit: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def ok(self) -> bool:
        return (self.minimum is None or self.value >= self.minimum) and (self.maximum is None or self.value <= self.maximum)

    def __str__(self) -> str:
        limits = [f"{sign} {limit:,g}" for sign, limit in (("≥", self.minimum), ("≤", self.maximum)) if limit is not None]
        verdict = ("ok" if self.ok else "**exceeded**") if limits else ""
        value = f"{self.value:,.0f}" if abs(self.value) >= 100 or self.value == int(self.value) else f"{self.value:.3g}"
        return f"| {self.name} | {f'{value} {self.unit}'.strip()} | {' and '.join(limits)} | {verdict} |"


class Postgres:
    """A server on a Unix socket in a temporary folder, running for the duration of a `with` block."""

    def __init__(self) -> None:
        # PostgreSQL refuses to run as root.
        self._account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="probeg-endurance-"))
        self.url = f"postgres://probeg@localhost/postgres?host={self._folder}"

    def __enter__(self) -> Postgres:
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        self._run("initdb", "-E", "UTF8", "--locale=C", "--auth=trust", "-U", "probeg")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("fast")
        shutil.rmtree(self._folder)

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c jit=off"
        self._run("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", options)

    def stop(self, mode: str) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def _run(self, program: str, *arguments: str) -> None:
        account = {"user": self._account.pw_uid, "group": self._account.pw_gid} if self._account else {}
        command = [str(server_programs() / program), *arguments, "-D", str(self._folder / "data")]
        # In its own session, so that Ctrl-C does not reach the server before it is stopped.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, start_new_session=True, **account)


def server_programs() -> Path:
    """The folder of the PostgreSQL programs."""
    configured = os.environ.get("PG_BIN_DIR")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    for folder in [Path(configured)] if configured else versions[::-1]:
        if (folder / "initdb").exists():
            return folder
    raise SystemExit("PostgreSQL is not installed (Debian: postgresql); set PG_BIN_DIR to the folder of initdb if it is elsewhere")


@dataclass(frozen=True)
class Server:
    """A service under test."""

    process: subprocess.Popen[str]
    address: str

    def memory_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Sends a request and returns the JSON of the response; raises `urllib.error.HTTPError` for an error status."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)

    def served(self) -> int | None:
        """The version in service, or None while the registry is unavailable."""
        try:
            return self.call("GET", "/v1/models")["served"]
        except OSError:
            return None

    def promote(self, version: int) -> bool:
        """Promotes a version; returns whether it was served before the timeout."""
        self.call("PUT", "/v1/models/champion", {"version": version})
        return seconds_until(lambda: self.served() == version) <= TIMEOUT


def stop(process: subprocess.Popen[str]) -> int:
    """Terminates a process and returns its exit code."""
    process.terminate()
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def seconds_until(condition: Callable[[], bool], timeout: float = TIMEOUT) -> float:
    """Waits until a condition holds and returns the time taken, which exceeds the timeout if it never did."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout:
            break
        time.sleep(0.005)
    return time.monotonic() - started


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    """Runs a service for the duration of a `with` block."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://([\d.:]+)", process.stdout.readline())
        if not found:
            raise SystemExit(f"{' '.join(command)} does not print its address")
        yield Server(process, found[1])
    finally:
        stop(process)


class Load:
    """A load generated by `load.rs`, killed at the end of a `with` block."""

    def __init__(self, server: Server, connections: int, seconds: float, **options: Any) -> None:
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [str(LOAD), server.address, PATH, "--connections", str(connections), "--seconds", str(seconds), *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def report(self) -> Report:
        """Waits for the end and returns the report."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} exited with {self.process.returncode}")
        return Report(json.loads(output))

    def stop(self) -> Report:
        """Stops the load early and returns the report."""
        self.process.send_signal(signal.SIGTERM)
        return self.report()


@dataclass(frozen=True)
class Report:
    """The output of `load`."""

    figures: dict[str, Any]

    @property
    def accepted(self) -> int:
        return self.figures["responses"].get("200", 0)

    @property
    def per_second(self) -> float:
        return self.figures["per_second"]

    @property
    def broken(self) -> int:
        """Number of lost requests and reset connections."""
        return self.figures["lost"] + self.figures["resets"]

    def responses_except(self, *statuses: int) -> int:
        return sum(count for status, count in self.figures["responses"].items() if int(status) not in statuses)

    def p99_ms(self, kind: str) -> float:
        """Of `accepted` or `rejected` requests; 0 if there are none."""
        return self.figures[f"{kind}_ms"]["p99"] or 0.0


@dataclass(frozen=True)
class Bench:
    """Shared state of the steps."""

    program: Path
    postgres: Postgres
    environment: dict[str, str]
    versions: tuple[int, int]
    scratch: Path
    options: argparse.Namespace

    def serving(self) -> ContextManager[Server]:
        """Runs Probeg for the duration of a `with` block."""
        return running([str(self.program), "serve", "--bind", "127.0.0.1:0"], self.environment)


def main() -> None:
    """The command `bench/endurance`."""
    options = parse_arguments()
    program = Path(options.probeg or RELEASE / "probeg").resolve()
    for needed in (program, LOAD):
        if not needed.exists():
            raise SystemExit(f"{needed} does not exist; build it with `cargo build --release --locked -p probeg -p bench`")
    # Raise the limit of open files, which sockets count towards.
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="probeg-endurance-") as scratch, Postgres() as postgres:
        bench = prepare(program, postgres, Path(scratch), options)
        print("| check | figure | limit | |\n|---|---:|---:|---|", flush=True)
        for step in [STEPS[options.only]] if options.only else STEPS.values():
            for check in step(bench):
                print(check, flush=True)
                checks.append(check)
    if options.json:
        options.json.write_text(json.dumps([{**asdict(check), "ok": check.ok} for check in checks], indent=2))
    if not all(check.ok for check in checks):
        sys.exit(1)


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("bench/endurance", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV or CSV.gz")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each overload (default: 10)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="number of requests of the memory step (default: 1000000)")
    parser.add_argument("--swaps", type=int, default=500, help="number of model swaps under load (default: 500)")
    parser.add_argument("--stops", type=int, default=50, help="number of stops under load (default: 50)")
    parser.add_argument("--away", type=float, default=60, help="duration of the database outage in seconds (default: 60)")
    parser.add_argument("--only", choices=STEPS, help="run only this step")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    return parser.parse_args()


def prepare(program: Path, postgres: Postgres, scratch: Path, options: argparse.Namespace) -> Bench:
    """Imports the listings, trains two versions and promotes the first."""
    environment = {**os.environ, "DATABASE_URL": postgres.url, "PROBEG_HOME": str(scratch / "home"), "RUST_LOG": "warn", "PROBEG_ADMIN_TOKEN": TOKEN}

    def run(*arguments: str) -> str:
        return subprocess.run([str(program), *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def train(seed: int) -> int:
        settings = (part for setting in (*QUICK, f"seed={seed}") for part in ("--set", setting))
        return json.loads(run("train", "--json", *settings))["version"]

    print(run("import", str(options.file), "--rejects", str(scratch / "rejected.csv")), end="", file=sys.stderr)
    versions = (train(1), train(2))
    run("models", "promote", str(versions[0]))
    return Bench(program, postgres, environment, versions, scratch, options)


def overload(bench: Bench) -> Iterator[Check]:
    """Throughput and latency at twice and ten times the connections of the peak, and the latency of rejections."""
    seconds = bench.options.seconds
    with bench.serving() as server:
        # Warm-up.
        Load(server, BASE_CONNECTIONS, 1).report()
        reports = {connections: Load(server, connections, seconds).report() for connections in CONNECTIONS}
        for connections, normal in reports.items():
            yield Check(f"accepted at {connections} connections", normal.per_second, "a second")
            yield Check(f"p99 at {connections} connections", normal.p99_ms("accepted"), "ms")
        best = max(reports, key=lambda connections: reports[connections].per_second)
        peak = reports[best]
        for name, connections, flags in (
            (f"{2 * best} connections", 2 * best, {}),
            (f"{10 * best} connections", 10 * best, {}),
            ("twice the peak's rate", 10 * best, {"rate": 2 * peak.per_second}),
        ):
            over = Load(server, connections, seconds, **flags).report()
            slower = over.p99_ms("accepted") / peak.p99_ms("accepted")
            yield Check(f"{name}: responses", sum(over.figures["responses"].values()) / over.figures["seconds"], "a second")
            yield Check(f"{name}: accepted, relative to the peak at {best}", over.per_second / peak.per_second, "", minimum=0.9)
            yield Check(f"{name}: p99 of accepted requests, relative to {best}", slower, "times", maximum=5)
            yield Check(f"{name}: p99 of rejected requests", over.p99_ms("rejected"), "ms", maximum=10)
            yield Check(f"{name}: lost and reset", over.broken, "", maximum=0)
            yield Check(f"{name}: responses other than 200, 429 and 503", over.responses_except(200, 429, 503), "", maximum=0)


def growth_mb(server: Server, requests: int) -> tuple[float, int]:
    """The growth of memory over a number of requests, and the number of responses other than 200."""
    Load(server, BASE_CONNECTIONS, UNLIMITED_SECONDS, requests=WARM_UP_REQUESTS).report()
    before = server.memory_mb()
    report = Load(server, BASE_CONNECTIONS, UNLIMITED_SECONDS, requests=requests).report()
    return server.memory_mb() - before, requests - report.accepted


def memory(bench: Bench) -> Iterator[Check]:
    """Whether memory grows over many requests."""
    with bench.serving() as server:
        grown, failed = growth_mb(server, bench.options.requests)
    yield Check(f"memory growth over {bench.options.requests:,} requests", grown, "MB", maximum=MAX_GROWTH_MB)
    yield Check("memory: responses other than 200", failed, "", maximum=0)


def swaps(bench: Bench) -> Iterator[Check]:
    """Whether every price is exactly that of the version in the response while the champion changes."""
    # With an explicit date: prices change at midnight.
    today = datetime.date.today().isoformat()
    cars = [{**CAR, "year": 2010 + number % 10, "mileage": 20_000 + 3_000 * number, "listing_date": today} for number in range(CARS)]
    prices: list[dict[int, float]] = [{} for _ in cars]
    bodies, expected = bench.scratch / "bodies.jsonl", bench.scratch / "expected.jsonl"
    with bench.serving() as server:
        for version in bench.versions:
            if not server.promote(version):
                raise SystemExit(f"version {version} is not served")
            for car, by_version in zip(cars, prices):
                by_version[version] = server.call("POST", PATH, car)["price"]
        assert all(len(set(by_version.values())) == 2 for by_version in prices), "the versions give the same price"
        bodies.write_text("".join(json.dumps(car) + "\n" for car in cars))
        expected.write_text("".join(json.dumps(by_version) + "\n" for by_version in prices))
        with Load(server, 64, UNLIMITED_SECONDS, bodies=bodies, expect=expected) as load:
            time.sleep(3)
            before = server.memory_mb()
            done = sum(server.promote(bench.versions[number % 2]) for number in range(bench.options.swaps))
            grown = server.memory_mb() - before
            report = load.stop()
    for example in report.figures["examples"]:
        print(example, file=sys.stderr)
    yield Check("swaps of the model under load", done, "", minimum=bench.options.swaps)
    yield Check("responses during swaps", report.accepted, "", minimum=1)
    yield Check("swaps: responses other than 200, lost and reset", report.responses_except(200) + report.broken, "", maximum=0)
    yield Check("swaps: wrong prices", report.figures["wrong"], "", maximum=0)
    yield Check("swaps: memory growth", grown, "MB", maximum=MAX_GROWTH_MB)


def stops(bench: Bench) -> Iterator[Check]:
    """Whether a server that is stopped under load responds to all requests."""
    codes, reports = [], []
    for _ in range(bench.options.stops):
        with bench.serving() as server, Load(server, BASE_CONNECTIONS, 1.5) as load:
            time.sleep(0.7)
            codes.append(stop(server.process))
            reports.append(load.report())
    yield Check("stops under load", len(codes), "")
    yield Check("stops: minimum number of responses before a stop", min(report.accepted for report in reports), "", minimum=1)
    yield Check("stops: exit codes other than 0", sum(code != 0 for code in codes), "", maximum=0)
    yield Check("stops: lost requests", sum(report.figures["lost"] for report in reports), "", maximum=0)
    yield Check("stops: resets", sum(report.figures["resets"] for report in reports), "", maximum=0)
    yield Check("stops: responses other than 200", sum(report.responses_except(200) for report in reports), "", maximum=0)


def away(bench: Bench) -> Iterator[Check]:
    """Whether valuations continue during a database outage, and the registry recovers after it."""
    seconds = bench.options.away
    with bench.serving() as server, Load(server, BASE_CONNECTIONS, UNLIMITED_SECONDS, rate=OUTAGE_RATE) as load:
        time.sleep(1)
        bench.postgres.stop("immediate")
        try:
            time.sleep(seconds)
        finally:
            bench.postgres.start()
        recovered = seconds_until(lambda: server.served() is not None)
        report = load.stop()
    yield Check(f"responses during a database outage of {seconds:g} s", report.accepted, "", minimum=0.9 * OUTAGE_RATE * seconds)
    yield Check("database outage: responses other than 200, lost and reset", report.responses_except(200) + report.broken, "", maximum=0)
    yield Check("database outage: p99", report.p99_ms("accepted"), "ms")
    yield Check("database outage: recovery time of /v1/models", recovered, "s", maximum=TIMEOUT)


def control(bench: Bench) -> Iterator[Check]:
    """Whether the memory check detects a service that leaks a kilobyte per request."""
    with running([str(LOAD), "leak", "127.0.0.1:0"], bench.environment) as server:
        grown, _ = growth_mb(server, LEAK_REQUESTS)
    check = Check(f"control: memory growth of a leaking service over {LEAK_REQUESTS:,} requests", grown, "MB", minimum=MAX_GROWTH_MB)
    yield check
    if not check.ok:
        raise SystemExit("the memory check does not detect a leak")


STEPS = {"overload": overload, "memory": memory, "swaps": swaps, "stops": stops, "away": away, "control": control}


if __name__ == "__main__":
    main()
