"""A MariaDB server that belongs to the tests: private data, loopback only, ended by its own pid.

It is as durable as one in production (``innodb_flush_log_at_trx_commit=1``) and has the server's own defaults otherwise, so
that a new database is ``latin1`` as ZenML's is. Its data is in memory where there is enough of it.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pymysql
from pymysql.connections import Connection

USER, PASSWORD = "zenml", "s3cr3t@tests"
"""What marksweep and ZenML log in as: every right on databases named ``zenml…``, none on the server itself."""
LOOPBACK = "127.0.0.1"

_MEMORY, _ENOUGH = Path("/dev/shm"), 2 << 30
"""Bytes that must be free for data to be kept in memory."""
_PATIENCE = 120.0
"""Seconds that a server may take to come up: after a SIGKILL it repairs itself first."""
_OPTIONS: dict[str, str | int] = {
    "innodb_buffer_pool_size": "64M",
    "innodb_log_file_size": "16M",
    "innodb_flush_log_at_trx_commit": 1,
    "innodb_flush_method": "fsync",
    "innodb_use_native_aio": 0,
    "max_connections": 200,
    "performance_schema": 0,
    "table_open_cache": 2000,
}
_SMALLEST_PORT, _FIRST_EPHEMERAL = 20_000, 32_768
_WATCHER = 'read line || { kill -9 "$1"; sleep 0.2; rm -rf "$2"; }'
"""Outlives whoever started the server, if that is killed, by just long enough to end the server."""


class MariaDbMissing(RuntimeError):
    """There is no MariaDB on this machine."""


class MariaDbServer:
    """One server on a port that stays the same. *base* is what :func:`initialised` made; *options* are server variables.

    ``with`` starts it and, whatever happens, ends it and removes its data.
    """

    def __init__(self, base: Path, **options: str | int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="marksweep-mariadb-", dir=_roomiest()))
        shutil.copytree(base, self.datadir)
        self.port = free_port()
        self.options = _OPTIONS | options
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def __enter__(self) -> MariaDbServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def datadir(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.datadir / "s"

    @property
    def log(self) -> Path:
        """What the server had to say."""
        return self.folder / "error.log"

    @property
    def pid(self) -> int | None:
        """None while it is down."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, **options: str | int) -> None:
        """Start it and wait until it answers; *options* are changed for good. Raise RuntimeError if it does not come up."""
        assert self.pid is None, "the server is running"
        self.options |= options
        self._let_go()
        (self.folder / "users.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL PRIVILEGES ON `zenml%`.* TO '{USER}'@'%';\n"
        )
        command = [
            program("mariadbd"), "--no-defaults", *_user(), f"--datadir={self.datadir}", f"--socket={self.socket}",
            f"--bind-address={LOOPBACK}", f"--port={self.port}", "--skip-name-resolve", "--skip-log-bin",
            f"--pid-file={self.folder / 'pid'}", f"--init-file={self.folder / 'users.sql'}", "--skip-ssl",
            *(f"--{name.replace('_', '-')}={value}" for name, value in self.options.items()),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "sh", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_ready()

    def stop(self) -> None:
        """End it properly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, except that what it had written stays."""
        self._end(signal.SIGKILL)

    def restart(self, **options: str | int) -> None:
        """Start it on the same port, ended properly before if it is running."""
        self.stop()
        self.start(**options)

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self, database: str | None = None) -> Connection[Any]:
        """A connection of root, committing every statement. It may do what :data:`USER` may not."""
        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4", autocommit=True
        )

    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as root (``%s`` marks a parameter) and return its rows."""
        with closing(self.admin(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def create_database(self, charset: str = "latin1") -> str:
        """Make an empty database with a new name. ZenML leaves the charset to the server: ``latin1`` or ``utf8mb4``."""
        self._databases += 1
        name = f"zenml_{self._databases}"
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET {charset}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD, port: int | None = None) -> str:
        """What a user would write; *port* is that of a proxy before the server."""
        return f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@{LOOPBACK}:{port or self.port}/{database}"

    def last_words(self) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self.pid is None:
                raise RuntimeError(f"mariadbd ended before it was ready; its last words:\n{self.last_words()}")
            with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL would leave its own open
                answers = probe.connect_ex(str(self.socket)) == 0
            if answers:
                self.execute("SELECT 1")
                return
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"mariadbd did not answer within {_PATIENCE:.0f} s; its last words:\n{self.last_words()}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._let_go()

    def _let_go(self) -> None:
        """Tell the watcher that there is nothing to end any more."""
        if self._watcher is not None:
            self._watcher.communicate(b"\n")
            self._watcher = None


def initialised(folder: Path) -> Path:
    """*folder* as an empty data directory, made by whoever comes first of several processes; servers copy it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _initialise(folder)
    return folder


def _initialise(folder: Path) -> None:
    scratch = folder.with_suffix(".new")
    command = [
        program("mariadb-install-db"), "--no-defaults", *_user(), f"--datadir={scratch}", "--skip-test-db",
        "--auth-root-authentication-method=normal", "--skip-name-resolve",
        f"--innodb-log-file-size={_OPTIONS['innodb_log_file_size']}",
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise RuntimeError(f"mariadb-install-db failed with status {made.returncode}:\n{made.stdout}{made.stderr}")
    scratch.rename(folder)


def program(name: str) -> str:
    """Where a program of MariaDB is; raise :class:`MariaDbMissing` if it is nowhere."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        raise MariaDbMissing(
            f"{name} is not installed, and these tests run against a real MariaDB: apt-get install mariadb-server"
        )
    return found


def free_port() -> int:
    """A free port that no outgoing connection can take while its server is down."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(_SMALLEST_PORT, _FIRST_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port was found")


def _user() -> list[str]:
    """mariadbd wants to be told that it is meant to run as root."""
    return ["--user=root"] if os.getuid() == 0 else []


def _roomiest() -> Path:
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        return _MEMORY
    return Path(tempfile.gettempdir())
