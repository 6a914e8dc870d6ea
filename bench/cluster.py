"""A temporary PostgreSQL server for benchmarks."""

from __future__ import annotations

import io
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import pandas

OWNER = "probeg"


class Cluster:
    """A server on a Unix socket in a temporary folder, running for the duration of a `with` block.

    It outlives the commands of Probeg, so that all contenders read the rows that Probeg stored.
    """

    def __init__(self) -> None:
        self._programs = _server_programs()
        self._account = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="probeg-bench-"))

    def __enter__(self) -> Cluster:
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        data = str(self._folder / "data")
        self._run("initdb", "-E", "UTF8", "--locale=C", "--auth=trust", "-U", OWNER, "-D", data)
        options = f"-k {self._folder} -c listen_addresses= -c fsync=off -c jit=off"
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", str(self._folder / "log"), "-o", options)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._folder / "data"))
        shutil.rmtree(self._folder)

    def create_database(self, name: str) -> Database:
        """Creates an empty database."""
        self._run("createdb", "-h", str(self._folder), "-U", OWNER, name)
        return Database(f"postgres://{OWNER}@localhost/{name}?host={self._folder}", self._programs / "psql")

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL refuses to run as root.
        account = {"user": self._account.pw_uid, "group": self._account.pw_gid} if self._account else {}
        command = [str(self._programs / program), *arguments]
        # To a file: the server inherits the output and would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(command, cwd="/", stdout=output, stderr=output, **account)
            output.seek(0)
            if done.returncode != 0:
                raise SystemExit(f"{program} failed:\n{output.read()}")


class Database:
    """A database used by both Probeg and the benchmark."""

    def __init__(self, url: str, psql: Path) -> None:
        self.url = url
        self.psql = psql

    def query(self, statement: str) -> pandas.DataFrame:
        """The rows of a query, all as text: the model `9-3` is not a number, and `NA` is not missing."""
        copy = f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER, NULL '\\N')"
        command = [str(self.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", copy, self.url]
        table = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        return pandas.read_csv(io.BytesIO(table), dtype="str", keep_default_na=False, na_values=["\\N"])


def _server_programs() -> Path:
    configured = os.environ.get("PG_BIN_DIR")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    folders = [Path(configured)] if configured else versions[::-1]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise SystemExit("PostgreSQL is not installed (Debian: postgresql); set PG_BIN_DIR to the folder of initdb if it is elsewhere")


def _account() -> pwd.struct_passwd | None:
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None
