"""Ports on loopback: remembered, moved when a stranger took one, refused when it was asked for."""

import os
import socket
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import PermanentError
from core.runtime.errors import PortTakenError

LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections (32768 and up): a remembered port is not lost
# to somebody's passing connection.
FIRST_PORT = 20_000
PORT_COUNT = 10_000
_TRIES_MAX = 500
_LISTENING = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortWish:
    """Where a server that is not running would like to listen.

    `asked` is a port that somebody insists on, `remembered` the last one used; the search begins
    at a place that depends on `seed`, so that two checkouts rarely meet.
    """

    server: str
    seed: str
    remembered: int | None = None
    asked: int | None = None
    avoid: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortChoice:
    port: int
    moved_because: str = ""


def asked_port(name: str, text: str | None) -> int | None:
    """Read a fixed port from the environment.

    Raises
    ------
    PermanentError
        If the text is no port.
    """
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise PermanentError(
            f"{name} is {text!r}, which is no port", hint="give a number from 1024 to 65535"
        )
    return int(text)


def free_port() -> int:
    """Return a port that is free now, for something that listens at once and is soon gone."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a connection still in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5):
            return True
    except OSError:
        return False


def choose_port(wish: PortWish, *, free: Callable[[int], bool] = is_free) -> PortChoice:
    """Decide where a server shall listen; a moved port comes with its reason.

    Raises
    ------
    PortTakenError
        If the asked port is taken, or none is free.
    """
    if wish.asked is not None:
        if free(wish.asked):
            return PortChoice(port=wish.asked)
        raise PortTakenError(
            f"port {wish.asked}, which {wish.server} was told to use, is taken{_by(wish.asked)}",
            hint="stop that process, or ask for another port, or for none: one is chosen then",
        )
    remembered = wish.remembered
    if remembered is not None and remembered not in wish.avoid and free(remembered):
        return PortChoice(port=remembered)
    port = _search(wish.seed, avoid={*wish.avoid, remembered}, free=free)
    if remembered is None:
        return PortChoice(port=port)
    reason = f"port {remembered} is taken{_by(remembered)}; {wish.server} moves to port {port}"
    return PortChoice(port=port, moved_because=reason)


def holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see; '' when unknown."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and inodes & _sockets(process):
            return f"process {process.name} ({_command(process)})"
    return ""


def listening_inodes(table: str, port: int) -> set[str]:
    """Return the socket inodes that listen on a port, from the text of /proc/net/tcp."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {
        row[9]
        for row in rows
        if len(row) > 9 and row[3] == _LISTENING and int(row[1].rsplit(":", 1)[1], 16) == port
    }


def _search(seed: str, *, avoid: Collection[int | None], free: Callable[[int], bool]) -> int:
    start = zlib.crc32(os.fsencode(seed)) % PORT_COUNT
    for step in range(_TRIES_MAX):
        port = FIRST_PORT + (start + step) % PORT_COUNT
        if port not in avoid and free(port):
            return port
    raise PortTakenError(
        f"no free port among {_TRIES_MAX} tried on {LOOPBACK}",
        hint="ask for one with FORECARE_PG_PORT and FORECARE_MQTT_PORT",
    )


def _by(port: int) -> str:
    name = holder(port)
    return f" by {name}" if name else " by a process that this user cannot see"


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            found |= listening_inodes(table.read_text(), port)
        except OSError:
            continue
    return found


def _sockets(process: Path) -> set[str]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return set()
    links: list[str] = []
    for entry in entries:
        with suppress(OSError):  # closed meanwhile
            links.append(os.readlink(entry))  # noqa: PTH115
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "gone"
