"""Overloads Probeg, lets it run long, swaps its models, stops it and takes its database away; exits with 1 when a limit is exceeded."""

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
# Seconds to train, and as long to value a car as the default: with a smaller network, refusing costs what answering does.
QUICK = ("epochs=1", "backtest=false", "refit=false")
NORMAL = 16
CONNECTIONS = (NORMAL, 64, 128)
CARS = 50
WARM_UP = 50_000
LEAKED = 100_000
GROWTH_MB = 50
AWAY_RATE = 500
# Seconds of a load that something else ends.
LONG = 24 * 3600
# Of what ought to happen at once: an answer after the database came back, a model in service, the end of a process.
PATIENCE = 30
CAR = json.loads((Path(__file__).parent / "car.json").read_text())


@dataclass(frozen=True)
class Check:
    """A figure and the limits that it must keep; without any, it is only told."""

    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def ok(self) -> bool:
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        limits = [f"{sign} {limit:,g}" for sign, limit in (("≥", self.least), ("≤", self.most)) if limit is not None]
        verdict = ("ok" if self.ok else "**exceeded**") if limits else ""
        value = f"{self.value:,.0f}" if abs(self.value) >= 100 or self.value == int(self.value) else f"{self.value:.3g}"
        return f"| {self.name} | {f'{value} {self.unit}'.strip()} | {' and '.join(limits)} | {verdict} |"


class Postgres:
    """A server of the benchmark's own on a Unix socket in a temporary folder, for the time of a `with` block."""

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
        # In a session of its own, so that Ctrl-C does not reach the server before it is stopped.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, start_new_session=True, **account)


def server_programs() -> Path:
    """The folder of PostgreSQL's programs."""
    given = os.environ.get("PG_BIN_DIR")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    for folder in [Path(given)] if given else versions[::-1]:
        if (folder / "initdb").exists():
            return folder
    raise SystemExit("no PostgreSQL server is installed (Debian: postgresql); PG_BIN_DIR may name the folder of initdb")


@dataclass(frozen=True)
class Server:
    """A service under test."""

    process: subprocess.Popen[str]
    address: str

    def memory_mb(self) -> float:
        """What it holds of the machine's memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; raises `urllib.error.HTTPError` for one other than 200."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def served(self) -> int | None:
        """The version in service; none while the registry does not answer."""
        try:
            return self.call("GET", "/v1/models")["served"]
        except OSError:
            return None

    def promote(self, version: int) -> bool:
        """Moves the champion; whether it came into service in time."""
        self.call("PUT", "/v1/models/champion", {"version": version})
        return seconds_until(lambda: self.served() == version) <= PATIENCE


def stop(process: subprocess.Popen[str]) -> int:
    """Asks a process to end, and gives its exit code."""
    process.terminate()
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def seconds_until(holds: Callable[[], bool]) -> float:
    """How long it takes until something holds; more than the patience when that is at an end."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE:
            break
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    """A service for the time of a `with` block, once it says where it listens."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://([\d.:]+)", process.stdout.readline())
        if not found:
            raise SystemExit(f"{' '.join(command)} does not say where it listens")
        yield Server(process, found[1])
    finally:
        stop(process)


class Load:
    """Requests that `load.rs` sends to a service, at most for the time of a `with` block where there is one."""

    def __init__(self, server: Server, connections: int, seconds: float, **options: Any) -> None:
        more = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [str(LOAD), server.address, PATH, "--connections", str(connections), "--seconds", str(seconds), *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def report(self) -> Report:
        """Waits for its end."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended with {self.process.returncode}")
        return Report(json.loads(output))

    def stop(self) -> Report:
        """Ends it early."""
        self.process.send_signal(signal.SIGTERM)
        return self.report()


@dataclass(frozen=True)
class Report:
    """What `load` prints."""

    figures: dict[str, Any]

    @property
    def accepted(self) -> int:
        return self.figures["answers"].get("200", 0)

    @property
    def per_second(self) -> float:
        return self.figures["per_second"]

    @property
    def broken(self) -> int:
        """Requests and connections that were cut off."""
        return self.figures["lost"] + self.figures["resets"]

    def answers_except(self, *statuses: int) -> int:
        return sum(count for status, count in self.figures["answers"].items() if int(status) not in statuses)

    def p99_ms(self, kind: str) -> float:
        """Of `accepted` or `refused` requests; 0 where there are none."""
        return self.figures[f"{kind}_ms"]["p99"] or 0.0


@dataclass(frozen=True)
class Bench:
    """What the steps share."""

    program: Path
    postgres: Postgres
    environment: dict[str, str]
    versions: tuple[int, int]
    scratch: Path
    options: argparse.Namespace

    def serving(self) -> ContextManager[Server]:
        """Probeg for the time of a `with` block."""
        return running([str(self.program), "serve", "--bind", "127.0.0.1:0"], self.environment)


def main() -> None:
    """The command `bench/endurance`."""
    options = parse_arguments()
    program = Path(options.probeg or RELEASE / "probeg").resolve()
    for needed in (program, LOAD):
        if not needed.exists():
            raise SystemExit(f"{needed} does not exist; build it with `cargo build --release --locked -p probeg -p bench`")
    # A socket is a file, and the largest overload needs more than the usual 1,024 on either side.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="probeg-endurance-") as scratch, Postgres() as postgres:
        bench = prepared(program, postgres, Path(scratch), options)
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
    """The command line."""
    parser = argparse.ArgumentParser("bench/endurance", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="listings with prices: CSV or CSV.gz")
    parser.add_argument("--seconds", type=float, default=10, help="of each load of the overload (default: 10)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="over which memory must not grow (default: 1000000)")
    parser.add_argument("--swaps", type=int, default=500, help="of the model under load (default: 500)")
    parser.add_argument("--stops", type=int, default=50, help="of the server under load (default: 50)")
    parser.add_argument("--away", type=float, default=60, help="seconds without a database (default: 60)")
    parser.add_argument("--only", choices=STEPS, help="one step instead of all")
    parser.add_argument("--probeg", help="the program (default: target/release/probeg)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file as well")
    return parser.parse_args()


def prepared(program: Path, postgres: Postgres, scratch: Path, options: argparse.Namespace) -> Bench:
    """Imports the listings and trains two versions, of which the first one serves."""
    environment = {**os.environ, "DATABASE_URL": postgres.url, "PROBEG_HOME": str(scratch / "home"), "RUST_LOG": "warn", "PROBEG_ADMIN_TOKEN": TOKEN}

    def run(*arguments: str) -> str:
        return subprocess.run([str(program), *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def trained(seed: int) -> int:
        settings = (part for setting in (*QUICK, f"seed={seed}") for part in ("--set", setting))
        return json.loads(run("train", "--json", *settings))["version"]

    print(run("import", str(options.file), "--rejects", str(scratch / "rejected.csv")), end="", file=sys.stderr)
    versions = (trained(1), trained(2))
    run("models", "promote", str(versions[0]))
    return Bench(program, postgres, environment, versions, scratch, options)


def overload(bench: Bench) -> Iterator[Check]:
    """What is accepted of twice and ten times as much as can be borne, and how fast the rest is refused."""
    seconds = bench.options.seconds
    with bench.serving() as server:
        # Not counted: the first requests find everything cold.
        Load(server, NORMAL, 1).report()
        found = {connections: Load(server, connections, seconds).report() for connections in CONNECTIONS}
        for connections, normal in found.items():
            yield Check(f"accepted at {connections} connections", normal.per_second, "a second")
            yield Check(f"p99 at {connections} connections", normal.p99_ms("accepted"), "ms")
        best = max(found, key=lambda connections: found[connections].per_second)
        peak = found[best]
        for name, connections, more in (
            (f"{2 * best} connections", 2 * best, {}),
            (f"{10 * best} connections", 10 * best, {}),
            ("twice the peak's rate", 10 * best, {"rate": 2 * peak.per_second}),
        ):
            over = Load(server, connections, seconds, **more).report()
            slower = over.p99_ms("accepted") / peak.p99_ms("accepted")
            yield Check(f"{name}: answered", sum(over.figures["answers"].values()) / over.figures["seconds"], "a second")
            yield Check(f"{name}: accepted, of the peak at {best}", over.per_second / peak.per_second, "", least=0.9)
            yield Check(f"{name}: p99 of the accepted, of that at {best}", slower, "times", most=5)
            yield Check(f"{name}: p99 of the refused", over.p99_ms("refused"), "ms", most=10)
            yield Check(f"{name}: lost and reset", over.broken, "", most=0)
            yield Check(f"{name}: answers other than 200, 429 and 503", over.answers_except(200, 429, 503), "", most=0)


def growth_mb(server: Server, requests: int) -> tuple[float, int]:
    """By how much the memory of a service grows over so many requests, and how many of them were not answered with 200."""
    Load(server, NORMAL, LONG, requests=WARM_UP).report()
    before = server.memory_mb()
    report = Load(server, NORMAL, LONG, requests=requests).report()
    return server.memory_mb() - before, requests - report.accepted


def memory(bench: Bench) -> Iterator[Check]:
    """Whether memory grows over many requests."""
    with bench.serving() as server:
        grown, failed = growth_mb(server, bench.options.requests)
    yield Check(f"growth of memory over {bench.options.requests:,} requests", grown, "MB", most=GROWTH_MB)
    yield Check("of them not answered with 200", failed, "", most=0)


def swaps(bench: Bench) -> Iterator[Check]:
    """Whether every answer is exactly that of the version that it names while the champion changes."""
    # The day is told: prices are other ones after midnight.
    today = datetime.date.today().isoformat()
    cars = [{**CAR, "year": 2010 + number % 10, "mileage": 20_000 + 3_000 * number, "listing_date": today} for number in range(CARS)]
    prices: list[dict[int, float]] = [{} for _ in cars]
    bodies, expected = bench.scratch / "bodies.jsonl", bench.scratch / "expected.jsonl"
    with bench.serving() as server:
        for version in bench.versions:
            if not server.promote(version):
                raise SystemExit(f"version {version} does not come into service")
            for car, by_version in zip(cars, prices):
                by_version[version] = server.call("POST", PATH, car)["price"]
        assert all(len(set(by_version.values())) == 2 for by_version in prices), "the versions give the same price"
        bodies.write_text("".join(json.dumps(car) + "\n" for car in cars))
        expected.write_text("".join(json.dumps(by_version) + "\n" for by_version in prices))
        with Load(server, 64, LONG, bodies=bodies, expect=expected) as load:
            time.sleep(3)
            before = server.memory_mb()
            done = sum(server.promote(bench.versions[number % 2]) for number in range(bench.options.swaps))
            grown = server.memory_mb() - before
            report = load.stop()
    for example in report.figures["examples"]:
        print(example, file=sys.stderr)
    yield Check("swaps of the model under load", done, "", least=bench.options.swaps)
    yield Check("answers meanwhile", report.accepted, "", least=1)
    yield Check("swaps: answers other than 200, lost and reset", report.answers_except(200) + report.broken, "", most=0)
    yield Check("swaps: prices other than the version's own", report.figures["wrong"], "", most=0)
    yield Check("swaps: growth of memory", grown, "MB", most=GROWTH_MB)


def stops(bench: Bench) -> Iterator[Check]:
    """Whether a server that is stopped under load answers whatever it was asked."""
    codes, reports = [], []
    for _ in range(bench.options.stops):
        with bench.serving() as server, Load(server, NORMAL, 1.5) as load:
            time.sleep(0.7)
            codes.append(stop(server.process))
            reports.append(load.report())
    yield Check("stops under load", len(codes), "")
    yield Check("stops: fewest answers before one", min(report.accepted for report in reports), "", least=1)
    yield Check("stops: exit codes other than 0", sum(code != 0 for code in codes), "", most=0)
    yield Check("stops: lost requests", sum(report.figures["lost"] for report in reports), "", most=0)
    yield Check("stops: resets", sum(report.figures["resets"] for report in reports), "", most=0)
    yield Check("stops: answers other than 200", sum(report.answers_except(200) for report in reports), "", most=0)


def away(bench: Bench) -> Iterator[Check]:
    """Whether valuations go on without the database, and the registry once it is back."""
    seconds = bench.options.away
    with bench.serving() as server, Load(server, NORMAL, LONG, rate=AWAY_RATE) as load:
        time.sleep(1)
        bench.postgres.stop("immediate")
        try:
            time.sleep(seconds)
        finally:
            bench.postgres.start()
        recovered = seconds_until(lambda: server.served() is not None)
        report = load.stop()
    yield Check(f"answers while the database is away for {seconds:g} s", report.accepted, "", least=0.9 * AWAY_RATE * seconds)
    yield Check("database away: answers other than 200, lost and reset", report.answers_except(200) + report.broken, "", most=0)
    yield Check("database away: p99", report.p99_ms("accepted"), "ms")
    yield Check("database back: until /v1/models answers", recovered, "s", most=PATIENCE)


def control(bench: Bench) -> Iterator[Check]:
    """Whether the check of memory sees a service that keeps a kilobyte of each request."""
    with running([str(LOAD), "leak", "127.0.0.1:0"], bench.environment) as server:
        grown, _ = growth_mb(server, LEAKED)
    check = Check(f"control: growth of memory that leaks over {LEAKED:,} requests", grown, "MB", least=GROWTH_MB)
    yield check
    if not check.ok:
        raise SystemExit("the memory check does not see a leak")


STEPS = {"overload": overload, "memory": memory, "swaps": swaps, "stops": stops, "away": away, "control": control}


if __name__ == "__main__":
    main()
