"""A batch that is still arriving: its first pieces are worked on while the rest comes.

A piece that was cut once stays as it is: a batch that is given again has the same pieces.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from core.clock import monotonic_s
from gateway.session import Arrival, BrokerAwayError

MESSAGES_MAX = 20_000
_BYTES_MAX = 12 << 20
"""Bounds the memory of the process: what is in flight beyond a batch waits in the socket."""
_AGE_S = 0.02
"""A batch of this age is complete, unless there is plenty waiting: a larger batch costs each message
less, since every device of it is noted once."""
_AGE_MAX_S = 0.25
_PLENTY_MESSAGES = 500
_PLENTY_BYTES = 64 << 10
"""So much in one read says that more lies behind it."""
_PIECE_MESSAGES = 1250
_PIECE_BYTES = 256 << 10
"""Checked and sent at once: long enough that a piece costs little, short enough that the database
works while the next one is read."""

Receive = Callable[[float], Sequence[Arrival]]
"""Returns what has come, waiting for at most so many seconds; or raises BrokerAwayError."""


class Inflow(list[Arrival]):
    """The messages of a batch that have come so far.

    Parameters
    ----------
    first : iterable of Arrival
        What has come already.
    receive : callable, optional
        Gives what comes next; without it the batch is complete.
    clock : callable, optional
        Tells the age of the batch, seconds.
    """

    def __init__(
        self,
        first: Iterable[Arrival],
        *,
        receive: Receive | None = None,
        clock: Callable[[], float] = monotonic_s,
    ) -> None:
        super().__init__(first)
        self.broken: BrokerAwayError | None = None
        """Set when the connection broke while the batch grew: what has come can be stored, and not
        be acknowledged."""
        self._receive = receive
        self._clock = clock
        self._began_s = clock()
        self._bytes = 0
        self._has_plenty = False
        self._ends: list[int] = []
        self._weigh(self)

    def pieces(self) -> Iterator[tuple[int, Sequence[Arrival]]]:
        """Yield pieces that are worth their while as soon as they are there: where each begins, and
        its messages."""
        first = 0
        for end in tuple(self._ends):
            yield first, self[first:end]
            first = end
        place, size = first, 0
        while True:
            while place < len(self):
                size += len(self[place].payload)
                place += 1
                if size >= _PIECE_BYTES or place - first >= _PIECE_MESSAGES:
                    self._ends.append(place)
                    yield first, self[first:place]
                    first, size = place, 0
            if not self.grow():
                break
        if first < len(self):
            self._ends.append(len(self))
            yield first, self[first:]

    def grow(self) -> bool:
        """Take what has come meanwhile; False: the batch is complete."""
        age_s = self._clock() - self._began_s
        if self._receive is None or self._is_full(age_s):
            self._receive = None
            return False
        try:
            more = self._receive(max(0.0, _AGE_S - age_s))
        except BrokerAwayError as error:
            self.broken, self._receive = error, None
            return False
        self += more
        self._weigh(more)
        return True

    def fill(self) -> None:
        """Wait until the batch is complete."""
        while self.grow():
            pass

    def _is_full(self, age_s: float) -> bool:
        return (
            len(self) >= MESSAGES_MAX
            or self._bytes >= _BYTES_MAX
            or age_s >= (_AGE_MAX_S if self._has_plenty else _AGE_S)
        )

    def _weigh(self, more: Sequence[Arrival]) -> None:
        size = sum(len(arrival.payload) for arrival in more)
        self._bytes += size
        self._has_plenty = len(more) >= _PLENTY_MESSAGES or size >= _PLENTY_BYTES


def cut(arrivals: Sequence[Arrival]) -> Iterator[tuple[int, Sequence[Arrival]]]:
    """Cut a batch into pieces, whether it is complete or still arriving."""
    batch = arrivals if isinstance(arrivals, Inflow) else Inflow(arrivals)
    return batch.pieces()
