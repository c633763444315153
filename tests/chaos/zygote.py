"""A process that has imported marksweep and the writers, and forks a child for each job: a start costs no imports.

    python -m tests.chaos.zygote

One JSON line in asks for a child (:class:`tests.chaos.jobs.Job`) or for the death of one (``{"kill": number}``); one line
out says how a child ended: ``{"number": …, "status": …}``, the status negative for a signal. It has no threads, so that a
fork copies a whole process. At the end of its input it kills what is left.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from tests.chaos import sweeper, writer
from tests.chaos.jobs import Job

_WHAT: dict[str, Callable[[Job], None]] = {"marksweep": sweeper.run, "writer": writer.run}


def main() -> None:
    """Serve until the input ends."""
    sweeper.warm_up()
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    children: dict[int, tuple[int, int]] = {}
    buffer = b""
    while True:
        for key, _ in selector.select():
            if key.fd != 0:
                selector.unregister(key.fd)
                _tell(children, key.fd)
                continue
            said = os.read(0, 1 << 16)
            if not said:
                for _, pid in children.values():
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, buffer = (buffer + said).split(b"\n")
            for line in lines:
                _obey(json.loads(line), children, selector)


def _obey(order: dict[str, Any], children: dict[int, tuple[int, int]], selector: selectors.BaseSelector) -> None:
    if "kill" in order:
        for descriptor, (number, _) in children.items():
            if number == order["kill"]:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return
    job = Job(**order)
    pid = os.fork()
    if pid == 0:
        _be_child(job)
    descriptor = os.pidfd_open(pid)
    children[descriptor] = (job.number, pid)
    selector.register(descriptor, selectors.EVENT_READ)


def _tell(children: dict[int, tuple[int, int]], descriptor: int) -> None:
    number, pid = children.pop(descriptor)
    _, ended = os.waitpid(pid, 0)
    os.close(descriptor)
    status = {"number": number, "status": os.waitstatus_to_exitcode(ended)}
    os.write(1, json.dumps(status).encode() + b"\n")


def _be_child(job: Job) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _WHAT[job.what](job)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
