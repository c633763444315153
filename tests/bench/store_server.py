"""SeaweedFS for the bench: it counts the requests that reach it, and its data can be put back as it was.

Putting 60,000 objects takes a minute and more, so each data set is put once, kept as a copy of the server's folder, and laid
out anew before every run: each run meets the same bytes, in a server that has just started.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.support.seaweed import LOOPBACK, SeaweedServer

BUCKET = "bench"

_COUNTED = re.compile(r'^SeaweedFS_s3_request_total\{bucket="([^"]*)",code="([^"]*)",type="([^"]*)"\} (\S+)$', re.M)
_KINDS = {"LIST": "list", "DELETE": "delete"}
"""How its metrics call a listing and a delete (of one key or of many). All others are ``other``."""


class BenchServer(SeaweedServer):
    """A server whose data is in ``folder/data``; :meth:`keep` and :meth:`restore` copy that while it is down."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "server", volume_mb=256)
        self._kept = folder / "kept"
        self._metrics = _free_port()

    def keep(self, name: str) -> None:
        """Remember all that the server holds as *name*, and go on."""
        self.stop()
        shutil.copytree(self.folder / "data", self._kept / name)
        self.start()

    def has(self, name: str) -> bool:
        """Whether something is kept under *name*."""
        return (self._kept / name).exists()

    def restore(self, name: str) -> None:
        """Start again with what :meth:`keep` remembered, and nothing else."""
        self.stop()
        shutil.rmtree(self.folder / "data")
        shutil.copytree(self._kept / name, self.folder / "data")
        self.start()

    def empty(self) -> None:
        """Start again with an empty bucket."""
        self.stop()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.start()
        self.client().create_bucket(Bucket=BUCKET)

    def requests(self) -> Counter[str]:
        """What reached the bucket since the server started, by kind, as the server itself counts."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._metrics}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        counted: Counter[str] = Counter()
        for bucket, _, kind, count in _COUNTED.findall(text):
            if bucket == BUCKET:
                counted[_KINDS.get(kind, "other")] += int(float(count))
        return counted

    def cpu(self) -> float:
        """CPU seconds that the server has used since it started: that does not depend on who else is at work here."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def keys(self) -> set[str]:
        """Every key in the bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def _command(self) -> list[str]:
        more = [f"-metricsPort={self._metrics}", f"-metricsIp={LOOPBACK}", "-master.electionTimeout=1s"]
        return [*super()._command(), *more]


def written(requests: Mapping[str, int]) -> str:
    """Requests by kind, for people."""
    return ", ".join(f"{requests[kind]:,} {kind}" for kind in ("list", "delete", "other") if requests.get(kind))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])
