"""A TCP proxy before a MariaDB server that reads the statements passing through and breaks connections as it is told.

    with Proxy(server.port) as proxy:
        proxy.plan(Fault(Break.AFTER, nth=3))  # the third COMMIT is executed, and nobody hears of it
        connect(port=proxy.port)

It runs in a thread of its own. Faults are planned before or while connections are open; what happened is in ``counts``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, TypeVar

from tests.support.mariadb import LOOPBACK, free_port

COMMIT = re.compile(r"\s*COMMIT\s*;?\s*", re.IGNORECASE)
_T = TypeVar("_T")
_COM_QUERY = 0x03
_HEADER = 4
"""Bytes before each packet: three of length, one of sequence number, which is 0 when a command begins."""
_CHUNK = 1 << 16


class Break(StrEnum):
    """What becomes of a statement and of the connection that it came by; the names are also those of the counts."""

    BEFORE = "before"
    """Both sides are cut; the server never hears of the statement."""
    AFTER = "after"
    """The server executes it; both sides are cut before the answer goes out."""
    LATE = "late"
    """The client is cut at once, the server gets the statement ``seconds`` later."""
    HOLE = "hole"
    """It is swallowed, and from then on nobody says anything; the connections stay open."""
    DELAY = "delay"
    """It reaches the server ``seconds`` later, and all goes on as if nothing had been."""


@dataclass
class Fault:
    """One thing to go wrong: at the *nth* statement, over all connections, that *on* matches as a whole.

    ``every`` makes it happen again after as many more.
    """

    how: Break
    nth: int = 1
    on: re.Pattern[str] = COMMIT
    seconds: float = 0
    every: bool = False
    met: int = 0
    """How many statements matched since it was planned."""

    def meets(self, statement: str) -> bool:
        """Count *statement* if it matches; whether it is the one."""
        if not self.on.fullmatch(statement):
            return False
        self.met += 1
        return self.met % self.nth == 0 if self.every else self.met == self.nth


@dataclass(eq=False)
class _Link:
    """One client and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    doomed: bool = False
    """Both sides are cut when the server answers."""
    mute: bool = False
    """The client is told nothing any more."""
    hole: bool = False
    """Not even that the server hung up."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        """Both sides notice; what was not sent yet is lost."""
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Listens on a free port of its own, as long as the block lasts, for clients of the server on *target*."""

    def __init__(self, target: int, *, host: str = LOOPBACK) -> None:
        self.host, self.target, self.port = host, target, free_port()
        self.counts: Counter[str] = Counter()
        """Of each Break, and: connections, refused (the server was down), silent, queries, commits, cut, random."""
        self._faults: list[Fault] = []
        self._lifetime: Callable[[], float] | None = None
        self._silent = False
        self._open: set[asyncio.Task[None]] = set()
        self._wrong: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._listener = self._call(asyncio.start_server(self._accept, LOOPBACK, self.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._wrong and error is None:
            raise self._wrong[0]

    def plan(self, *faults: Fault) -> None:
        """What goes wrong from now on, instead of what was planned before; nothing if there are none."""
        self._do(lambda: setattr(self, "_faults", list(faults)))

    def cut(self) -> int:
        """Cut every connection now; return how many there were."""
        return self._call(self._cut_all())

    def cut_at_random(self, longest: float, seed: int) -> None:
        """Let connections that are made from now on live for a random time of up to *longest* seconds; 0 ends that."""
        rng = random.Random(seed)
        self._do(lambda: setattr(self, "_lifetime", (lambda: rng.uniform(0, longest)) if longest else None))

    def be_silent(self, silent: bool = True) -> None:
        """Accept connections that are made from now on and never say a word to them."""
        self._do(lambda: setattr(self, "_silent", silent))

    def wait_for(self, what: str, count: int = 1, patience: float = 30) -> None:
        """Wait until *what* was counted *count* times; raise TimeoutError if that does not happen."""
        until = time.monotonic() + patience
        while self.counts[what] < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{what} was counted {self.counts[what]} times, not {count}: {dict(self.counts)}")
            time.sleep(0.005)

    def _do(self, change: Callable[[], None]) -> None:
        """Change something where it is read."""

        async def changing() -> None:
            change()

        self._call(changing())

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await self._end(self._open)

    async def _cut_all(self) -> int:
        count = await self._end(self._open)
        self.counts["cut"] += count
        return count

    async def _end(self, tasks: set[asyncio.Task[None]]) -> int:
        ending = [task for task in tasks if task.cancel()]
        await asyncio.gather(*ending, return_exceptions=True)
        return len(ending)

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        task = self._loop.create_task(self._serve(reader, client))
        self._open.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._wrong.append(error)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """One client, to its end or until this task is cancelled, which cuts both sides."""
        try:
            if self._silent:
                self.counts["silent"] += 1
                await asyncio.Event().wait()
            answers, server = await asyncio.open_connection(self.host, self.target)
        except OSError:
            self.counts["refused"] += 1
            client.close()
        except asyncio.CancelledError:
            client.transport.abort()
            raise
        else:
            await self._relay(reader, answers, _Link(client, server))

    async def _relay(self, reader: asyncio.StreamReader, answers: asyncio.StreamReader, link: _Link) -> None:
        lifetime = self._lifetime() if self._lifetime else None
        pumps = [asyncio.ensure_future(self._forth(reader, link)), asyncio.ensure_future(self._back(answers, link))]
        try:
            done, _ = await asyncio.wait(pumps, timeout=lifetime, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                link.cut()
                self.counts["random"] += 1
        except asyncio.CancelledError:
            link.cut()
            raise
        finally:
            for pump in pumps:
                pump.cancel()
            ends = await asyncio.gather(*pumps, return_exceptions=True)
            link.server.close()  # what was said before one of them hung up is delivered
            link.client.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _forth(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """Pass on what the client says, packet by packet."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(_HEADER)
                packet = header + await reader.readexactly(int.from_bytes(header[:3], "little"))
                if (fault := self._fault(packet)) and not await self._break(fault, packet, link):
                    return
                if not fault:
                    link.server.write(packet)
                    await link.server.drain()

    async def _back(self, answers: asyncio.StreamReader, link: _Link) -> None:
        """Pass on what the server says."""
        with contextlib.suppress(ConnectionError):
            while said := await answers.read(_CHUNK):
                link.answered.set()
                if link.doomed:
                    link.cut()
                    self.counts[Break.AFTER] += 1
                    return
                if not link.mute:
                    link.client.write(said)
                    await link.client.drain()
        if link.hole:
            await asyncio.Event().wait()

    def _fault(self, packet: bytes) -> Fault | None:
        """Count a statement; the fault that befalls it, if one does. All faults count every statement."""
        if len(packet) <= _HEADER or packet[3] != 0 or packet[_HEADER] != _COM_QUERY:
            return None
        statement = packet[_HEADER + 1 :].decode(errors="replace")
        self.counts["queries"] += 1
        self.counts["commits"] += bool(COMMIT.fullmatch(statement))
        met = [fault for fault in self._faults if fault.meets(statement)]
        return met[0] if met else None

    async def _break(self, fault: Fault, packet: bytes, link: _Link) -> bool:
        """Let *fault* befall *packet*; whether the connection goes on."""
        match fault.how:
            case Break.BEFORE:
                link.cut()
            case Break.AFTER:
                link.doomed = True
                link.server.write(packet)  # counted when the answer comes
                return True
            case Break.LATE:
                link.mute = True
                link.client.transport.abort()
                await self._send_late(fault.seconds, packet, link)
                await link.answered.wait()
            case Break.HOLE:
                link.mute = link.hole = True
                self.counts[fault.how] += 1
                await asyncio.Event().wait()
            case Break.DELAY:
                await self._send_late(fault.seconds, packet, link)
        self.counts[fault.how] += 1
        return fault.how is Break.DELAY

    async def _send_late(self, seconds: float, packet: bytes, link: _Link) -> None:
        await asyncio.sleep(seconds)
        link.answered.clear()
        link.server.write(packet)
        await link.server.drain()
