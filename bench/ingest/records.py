"""What crosses the border between the bench and its processes, and what it measures. Pure."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Follow = Literal["stored", "counter"]


class Build(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """Make the packets of a run, before anything is measured."""

    shape: str
    devices: tuple[str, ...]
    messages: int
    boot: int
    first_ms: int
    form: Literal["native", "flat"] = "native"
    """Flat: `{"device": …, "ts": …, "outlet_c": …}`, which other software reads more easily."""


class Birth(msgspec.Struct, frozen=True, kw_only=True, tag="birth"):
    """Let every device of the last build say that it is there."""


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Send the packets of the last build."""

    follow: Follow
    """Where it is seen what became of the messages: the `stored` answers, or a counter in a file."""
    ahead_max: int
    warm_up: float
    """Share of the messages after which measuring begins."""
    rate: float = 0.0
    """Messages/s in all; 0: as fast as it goes."""
    patience_s: float = 20.0
    """The run ends when nothing has moved for so long."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and who the generator is there: one user a connection."""

    host: str
    port: int
    users: tuple[tuple[str, str], ...]
    counter: str
    """File whose first 8 bytes count messages, little-endian."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag="event"):
    """Said while it happens: `ready`, `built`, `born`, `warm`, `sent`."""

    name: str


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag="sent"):
    """What the generator saw of a run."""

    published: int
    acknowledged: int
    """By the broker."""
    done: int
    """Confirmed by `stored`, or counted by the file."""
    measured: int
    """Of them in the measured part: after warming up, while the generator was still sending."""
    measured_s: float
    seconds: float
    """From the first publish to the last confirmation."""
    confirmed: Mapping[str, int]
    """Highest number stored, by device. Empty when a counter was followed."""
    latency_ms: Mapping[str, float] = {}
    """From publish to `stored`, in a paced run: p50, p99 and max."""


Order = Build | Birth | Run
Answer = Event | Sent
