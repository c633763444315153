"""A session on a MySQL or MariaDB server, of the kind that the claim protocol needs, and which of its errors pass."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any

import pymysql

from marksweep.catalog.zenml import mysql_guard
from marksweep.catalog.zenml.mysql_url import Address

IDLE = 600
"""Seconds after which the server ends a session of ours that says nothing."""
IDLE_IN_TRANSACTION = 30
"""Seconds after which the server ends a transaction of ours that says nothing: a vanished sweep must not hold locks."""
LOST = {2006, 2013, 2014, 2055, 1927, 1053, 1152, 1158, 1159, 1160, 1161, 4031, 3024}
"""Errors after which the connection is of no use: gone away, lost, killed, shutting down, timed out."""
REFUSED = {2002, 2003, 1040, 1226}
"""Errors of opening a connection that may pass: refused, too many connections."""
SETTINGS = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    f"SET SESSION wait_timeout = {IDLE}",
    "SET SESSION innodb_lock_wait_timeout = 20",
    "SET SESSION net_write_timeout = 600",
    "SET SESSION group_concat_max_len = 16777216",  # where texts are packed; what is cut off is noticed, and read again
    "SET SESSION time_zone = '+00:00'",  # information_schema tells when tables were made, which is part of the instance
)


def connect(address: Address, patience: float, *, known: bool) -> Any:
    """A new session, tried again for *patience* seconds when the server is not there.

    Raises CatalogNotUnderstood when it cannot be had, Incomplete when the server was *known* before.
    """
    until, pause = time.monotonic() + patience, 0.1
    while True:
        try:
            connection = pymysql.connect(**address.arguments)
            break
        except pymysql.err.MySQLError as error:
            number = int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0
            if number not in LOST | REFUSED or time.monotonic() > until:
                raise mysql_guard.unreachable(error, address.shown, known=known) from None
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
        pause = min(2.0, pause * 2)
    with connection.cursor() as cursor:
        for statement in SETTINGS:
            cursor.execute(statement)
        with contextlib.suppress(
            pymysql.err.MySQLError
        ):  # MySQL has no such thing, and ends idle sessions as told above
            cursor.execute(f"SET SESSION idle_transaction_timeout = {IDLE_IN_TRANSACTION}")
    return connection
