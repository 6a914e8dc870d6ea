"""Runs the program under test on the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import Database


@dataclass(frozen=True)
class Cost:
    """The cost of a process, including its threads but not its database server."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class PeakMemory(threading.Thread):
    """Polls the peak memory of a process until it exits. The figure of `wait4` would include this interpreter, which the
    process was forked from."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._status = Path(f"/proc/{process}/status")

    def run(self) -> None:
        try:
            while peak := re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text()):
                self.bytes = int(peak[1]) * 1024
                time.sleep(0.02)
        except OSError:
            pass


def run_measured(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, Cost]:
    """Runs a command and returns its output and cost. Its log is passed through."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    peak = PeakMemory(process.pid)
    peak.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    peak.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return output, Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak.bytes)


@dataclass(frozen=True)
class Probeg:
    """The program and its database."""

    program: Path
    database: Database

    def run(self, *arguments: str) -> tuple[str, Cost]:
        """Runs a command of the program."""
        environment = {**os.environ, "DATABASE_URL": self.database.url}
        return run_measured([str(self.program), *arguments], environment)

    def import_file(self, file: Path, scratch: Path) -> None:
        """Imports a file and prints the summary."""
        output, _ = self.run("import", str(file), "--rejects", str(scratch / "rejected.csv"))
        print(output, end="", file=sys.stderr)

    def train(self, settings: list[str]) -> tuple[dict, Cost]:
        """Trains a version and returns the result and cost."""
        output, cost = self.run("train", "--json", *(part for setting in settings for part in ("--set", setting)))
        return json.loads(output), cost

    def show_run(self, run: int) -> dict:
        """The configuration and epochs of a run."""
        return json.loads(self.run("runs", "show", str(run), "--json")[0])

    def predict(self, version: int, listings: Path, valued: Path) -> None:
        """Values a table of cars, those of unknown makes included."""
        self.run("predict", str(listings), "-o", str(valued), "--model", str(version), "--allow-unknown")

    def export(self, version: int, file: Path) -> None:
        """Writes the model file of a version."""
        self.run("models", "export", str(version), "-o", str(file))


def find_program(path: str | None) -> Path:
    """The given program, or the release build of this checkout."""
    program = Path(path) if path else Path(__file__).parent.parent / "target/release/probeg"
    if not program.exists():
        raise SystemExit(f"{program} does not exist; build it with `cargo build --release` or specify it with --probeg")
    return program.resolve()
