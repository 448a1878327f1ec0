"""Drives the connections of a whole fleet from one thread: one selector over paho's sockets."""

import selectors
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from firmware_sim.client import CONFIRM_TIMEOUT_S, DeviceClient
from firmware_sim.connection import Address, Connection, Identity
from firmware_sim.controller import Controller
from firmware_sim.dialects import JSON, Dialect
from firmware_sim.sparkplug.node import SparkplugNode
from firmware_sim.sparkplug.session import Declared
from firmware_sim.spool import Spool
from firmware_sim.tls import TlsFiles

_TICK_S = 0.1
_SELECT_S = 0.05


class Client(Protocol):
    """A device's side of the line, in whatever language it speaks."""

    boot: int
    is_held: bool

    @property
    def is_connected(self) -> bool: ...

    @property
    def has_socket(self) -> bool: ...

    @property
    def problem(self) -> str: ...

    def wake(self) -> None: ...

    def tick(self, now_s: float) -> None: ...

    def close(self) -> None: ...


class Courier:
    """Drives the connections of a fleet. One thread; `run` returns after the time it was given."""

    def __init__(
        self,
        *,
        address: Address,
        spool: Spool,
        monotonic_s: Callable[[], float],
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
        tls: TlsFiles | None = None,
    ) -> None:
        self.clients: dict[str, Client] = {}
        self._address = address
        self._spool = spool
        self._monotonic_s = monotonic_s
        self._confirm_timeout_s = confirm_timeout_s
        self._tls = tls
        self._selector = selectors.DefaultSelector()
        self._ticked_s = 0.0

    def add(
        self,
        identity: Identity,
        *,
        boot: int,
        rng: Random,
        controller: Controller | None = None,
        dialect: Dialect = JSON,
    ) -> None:
        self.clients[identity.name] = DeviceClient(
            address=self._address,
            identity=identity,
            boot=boot,
            spool=self._spool,
            rng=rng,
            selector=self._selector,
            confirm_timeout_s=self._confirm_timeout_s,
            controller=controller,
            tls=self._tls,
            dialect=dialect,
        )

    def add_node(
        self,
        identity: Identity,
        *,
        boot: int,
        rng: Random,
        declares: Mapping[str, Sequence[Declared]],
    ) -> None:
        """Add a Sparkplug edge node, which measures and speaks for devices as `declares` says."""
        self.clients[identity.name] = SparkplugNode(
            address=self._address,
            identity=identity,
            boot=boot,
            declares=declares,
            spool=self._spool,
            rng=rng,
            selector=self._selector,
            tls=self._tls,
        )

    def wake(self) -> None:
        """Tell all devices that the spool has got new messages."""
        for client in self.clients.values():
            client.wake()

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Move messages for so long, or until the condition holds (looked at ten times a second)."""
        end_s = self._monotonic_s() + seconds
        while True:
            now_s = self._monotonic_s()
            if now_s - self._ticked_s >= _TICK_S:
                self._ticked_s = now_s
                self._spool.flush()
                for client in self.clients.values():
                    client.tick(now_s)
                if until():
                    return
            if now_s >= end_s:
                return
            self._select(min(_SELECT_S, end_s - now_s))

    def close(self, *, seconds: float = 2.0) -> None:
        """Send the goodbyes, then let go of all connections."""
        for client in self.clients.values():
            client.close()
        end_s = self._monotonic_s() + seconds
        while self._monotonic_s() < end_s and self._connected():
            self._select(_SELECT_S)
        for client in self.clients.values():
            client.is_held = True
            client.tick(self._monotonic_s())
        self._spool.flush()
        self._selector.close()

    def problems(self) -> Sequence[str]:
        return sorted({client.problem for client in self.clients.values() if client.problem})

    def _connected(self) -> bool:
        return any(client.has_socket for client in self.clients.values())

    def _select(self, timeout_s: float) -> None:
        for key, events in self._selector.select(timeout_s):
            connection: Connection = key.data
            now_s = self._monotonic_s()
            if events & selectors.EVENT_READ:
                connection.on_readable(now_s)
            if events & selectors.EVENT_WRITE:
                connection.on_writable(now_s)
