"""What the commands of gateway and ingest share: a pool, who acts, how a value is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from core.endpoints import database_url
from core.pool import Pool, make_pool
from core.settings import load_settings

OPERATOR = "operator"
"""Whoever uses the command line on this machine, as histories keep it."""


@contextmanager
def open_pool() -> Iterator[Pool]:
    pool = make_pool(database_url(load_settings()), name="cli", size_max=1)
    try:
        yield pool
    finally:
        pool.close()


def shown(value: Any) -> str:
    """Write a JSON value on one line. Pure."""
    return msgspec.json.encode(value).decode()
