"""What others may ask about Sparkplug nodes: whom they speak for."""

from datetime import datetime

from core.errors import InvalidError, NotFoundError
from core.pool import Pool
from core.sql import Queries

_queries = Queries("gateway")


def let_speak(pool: Pool, *, node: str, device: str, now: datetime) -> None:
    """Let an edge node send the samples of a device that stands behind it.

    Raises
    ------
    InvalidError
        If they are the same: a node always speaks for itself.
    NotFoundError
        If one of them is not registered.
    """
    if node == device:
        raise InvalidError(f"{node} speaks for itself anyway", hint="name a device behind it")
    with pool.connection() as connection:
        rows = connection.execute(_queries["devices_named"], {"names": [node, device]}).fetchall()
        missing = {node, device} - {row[0] for row in rows}
        if missing:
            raise NotFoundError(
                f"there is no device {', '.join(sorted(missing))}",
                hint="let it in first with `forecare device add`",
            )
        connection.execute(_queries["let_speak"], {"node": node, "device": device, "now": now})


def let_speak_no_longer(pool: Pool, *, node: str, device: str) -> None:
    """Take the permission back; it ends with the next message.

    Raises
    ------
    NotFoundError
        If the node does not speak for the device.
    """
    with pool.connection() as connection:
        names = {"node": node, "device": device}
        if connection.execute(_queries["let_speak_no_longer"], names).fetchone() is None:
            raise NotFoundError(f"{node} does not speak for {device}")
