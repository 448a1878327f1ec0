"""A TCP proxy on loopback that can be slow, narrow, silent or rude.

Two threads a connection: it stands between two servers, not between thousands of clients.
"""

import select
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Protocol

from core.clock import monotonic_s, pause
from core.runtime.ports import LOOPBACK

_CHUNK_BYTES = 1 << 16
_NARROW_CHUNK_BYTES = 1 << 11
_POLL_S = 0.02
_CONNECT_S = 5.0
_SEND_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """What is wrong with the line; the default is nothing."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    """0: unlimited."""
    is_silent: bool = False
    """What comes is taken and kept back."""


HEALTHY = Toxic()


class Side(Enum):
    CLIENT = "client"
    SERVER = "server"


class Observer(Protocol):
    """Sees what one connection carries."""

    def saw(self, sender: Side, data: bytes) -> None: ...


class ObserverMaker(Protocol):
    def __call__(self) -> Observer: ...


class _Pair:
    """One client's connection and ours to the server. Closed by the threads that read them: a socket
    in which a thread waits for data stays open whoever closes it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.over = threading.Event()
        self.is_reset = False
        self.closed = threading.Event()

    def close(self) -> None:
        for sock in (self.client, self.server):
            with suppress(OSError):
                if self.is_reset:
                    # Zero seconds of lingering: the other side gets a reset, not an end.
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            sock.close()
        self.closed.set()


class Proxy:
    """Passes connections on to a port of this machine until `stop`."""

    def __init__(
        self, target_port: int, *, rng: Random, observer: ObserverMaker | None = None
    ) -> None:
        self.target_port = target_port
        self.toxic = HEALTHY
        """Set it at any time."""
        self.connections = 0
        """Accepted so far."""
        self.resets = 0
        """Connections cut by `reset`."""
        self.bytes_held = 0
        """Bytes that met something other than a healthy line."""
        self._rng = rng
        self._observer = observer
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._is_over = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def reset(self) -> int:
        """Cut all connections with a reset; return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.is_reset = True
            pair.over.set()
        for pair in pairs:
            pair.closed.wait(_CONNECT_S)
        self.resets += len(pairs)
        return len(pairs)

    def stop(self) -> None:
        self._is_over = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((LOOPBACK, self.target_port), timeout=_CONNECT_S)
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.settimeout(_SEND_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(client, server)
        with self._lock:
            self._pairs.add(pair)
        observer = self._observer() if self._observer else None
        back = threading.Thread(target=self._pump, args=(pair, Side.SERVER, observer), daemon=True)
        back.start()
        self._pump(pair, Side.CLIENT, observer)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        pair.close()

    def _pump(self, pair: _Pair, sender: Side, observer: Observer | None) -> None:
        source, sink = pair.client, pair.server
        if sender is Side.SERVER:
            source, sink = sink, source
        with suppress(OSError):
            while not pair.over.is_set():
                if not select.select([source], [], [], _POLL_S)[0]:
                    continue
                is_narrow = self.toxic.bytes_per_s > 0
                data = source.recv(_NARROW_CHUNK_BYTES if is_narrow else _CHUNK_BYTES)
                if not data:
                    break
                self._hold(pair, len(data))
                if pair.over.is_set():
                    break
                if observer is not None:
                    observer.saw(sender, data)
                sink.sendall(data)
        pair.over.set()

    def _hold(self, pair: _Pair, size: int) -> None:
        """Keep data back for as long as the line is bad."""
        if self.toxic == HEALTHY:
            return
        self.bytes_held += size
        since_s = monotonic_s()
        while not pair.over.is_set():
            toxic = self.toxic
            if not toxic.is_silent:
                wait_s = toxic.latency_s + self._rng.uniform(-toxic.jitter_s, toxic.jitter_s)
                wait_s += size / toxic.bytes_per_s if toxic.bytes_per_s else 0.0
                pause(max(0.0, wait_s - (monotonic_s() - since_s)))
                return
            pause(_POLL_S)
