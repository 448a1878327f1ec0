"""Token buckets for many senders at once: what of a batch is more than a sender may send. Pure.

A bucket holds `amount` and fills at `amount / per`. All buckets of a sender must hold a message; what
does not fit is withheld, and from then on everything of that sender until its buckets are half full
again: a sender that loops is told once and not with every message. A message that is larger than a
whole bucket passes when the bucket is full, and leaves a debt.

State is kept in arrays, one row a sender, so that a batch in which nobody is near a limit costs a
few array operations and no step per message. It lives in memory: after a restart all buckets are
full. With N ingest processes each has its own: `share` makes the allowances of those who send
through all of them smaller.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.product import Allowance

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_START_ROWS = 256
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One allowance of one kind: what is counted, how much of it, in which time."""

    counts: str
    """messages or values"""
    allowance: Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """A sender that has met a limit in this batch."""

    sender: int
    kind: Kind
    is_new: bool
    """Whether it begins with this batch."""
    messages: int
    """Withheld."""
    values: int
    resets_s: float
    """When its messages are taken again, on the clock of `take`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What `take` decided."""

    withheld: NDArray[np.bool_] | None
    """Per message; None: nothing is."""
    overruns: tuple[Overrun, ...] = ()
    relieved: tuple[int, ...] = ()
    """Senders that had met a limit and are heard again."""


NOTHING = Taken(withheld=None)


class Buckets:
    """The buckets of all senders of one sort (devices, or manufacturers).

    Parameters
    ----------
    kinds_of : callable
        Returns the allowances of a sender, known by its number; asked when it is first heard.
    kinds_max : int
        The most allowances a sender can have.
    senders_max : int
        Beyond it those who have been silent for longest are forgotten: their buckets are full.
    """

    def __init__(
        self,
        kinds_of: Callable[[int], Sequence[Kind]],
        *,
        kinds_max: int = 8,
        senders_max: int = 250_000,
    ) -> None:
        self._kinds_of = kinds_of
        self._kinds_max = kinds_max
        self._senders_max = senders_max
        self.forget()

    def forget(self) -> None:
        """Begin anew with full buckets: limits have changed."""
        self._rows: dict[int, int] = {}
        self._kinds: list[tuple[Kind, ...]] = []
        self._grow(_START_ROWS)

    def take(self, senders: IntArray, values: IntArray, *, now_s: float) -> Taken:
        """Take a batch, and say what is more than allowed.

        Parameters
        ----------
        senders : ndarray of int64, shape (messages,)
            Who sent each message, in order of arrival.
        values : ndarray of int64, shape (messages,)
            Values in each message.
        now_s : float
            Any clock that never goes back, seconds.
        """
        if not len(senders):
            return NOTHING
        unique, place, counts = np.unique(senders, return_inverse=True, return_counts=True)
        rows = self._find_rows(unique, now_s=now_s)
        sums = np.bincount(place, weights=values, minlength=len(unique))
        cost = np.where(self._is_value[rows], sums[:, None], counts[:, None].astype(np.float64))
        self._refill(rows, now_s=now_s)
        tokens = self._tokens[rows]
        fits = (tokens >= cost).all(axis=1) & (self._blocked_s[rows] <= now_s)
        self._tokens[rows[fits]] -= cost[fits]
        relieved = self._relieve(unique[fits], rows[fits])
        if fits.all():
            return Taken(withheld=None, relieved=relieved) if relieved else NOTHING
        withheld = np.zeros(len(senders), dtype=np.bool_)
        overruns: list[Overrun] = []
        for i in np.flatnonzero(~fits):
            messages = np.flatnonzero(place == i)
            overruns += self._take_one_by_one(
                int(unique[i]), int(rows[i]), messages, values, withheld, now_s=now_s
            )
        return Taken(withheld=withheld, overruns=tuple(overruns), relieved=relieved)

    def _take_one_by_one(  # noqa: PLR0913 - one sender's part of a batch
        self,
        sender: int,
        row: int,
        messages: IntArray,
        values: IntArray,
        withheld: NDArray[np.bool_],
        *,
        now_s: float,
    ) -> list[Overrun]:
        """Take the messages of a sender until the first that does not fit."""
        kinds = self._kinds[row]
        is_value, full = self._is_value[row, : len(kinds)], self._full[row, : len(kinds)]
        tokens = self._tokens[row, : len(kinds)]
        was_over = bool(self._is_over[row])
        first = 0
        if self._blocked_s[row] <= now_s:
            for message in messages:
                cost = np.where(is_value, float(values[message]), 1.0)
                short = tokens < np.minimum(cost, full)
                if short.any():
                    self._block(row, int(np.argmax(self._wait_s(row) * short)), now_s=now_s)
                    break
                tokens -= cost
                first += 1
        held = messages[first:]
        if not len(held):
            return []
        withheld[held] = True
        self._is_over[row] = True
        return [
            Overrun(
                sender=sender,
                kind=kinds[int(self._met[row])],
                is_new=not was_over,
                messages=len(held),
                values=int(values[held].sum()),
                resets_s=float(self._blocked_s[row]),
            )
        ]

    def _block(self, row: int, kind: int, *, now_s: float) -> None:
        self._met[row] = kind
        self._blocked_s[row] = now_s + self._wait_s(row).max()

    def _wait_s(self, row: int) -> FloatArray:
        """How long until each bucket of a sender is half full."""
        number = len(self._kinds[row])
        full, rate = self._full[row, :number], self._rate[row, :number]
        return np.maximum(_HALF * full - self._tokens[row, :number], 0.0) / rate

    def _refill(self, rows: IntArray, *, now_s: float) -> None:
        passed_s = np.maximum(now_s - self._seen_s[rows], 0.0)
        tokens = self._tokens[rows] + self._rate[rows] * passed_s[:, None]
        self._tokens[rows] = np.minimum(tokens, self._full[rows])
        self._seen_s[rows] = np.maximum(now_s, self._seen_s[rows])

    def _relieve(self, senders: IntArray, rows: IntArray) -> tuple[int, ...]:
        over = self._is_over[rows]
        if not over.any():
            return ()
        self._is_over[rows[over]] = False
        return tuple(int(sender) for sender in senders[over])

    def _find_rows(self, senders: IntArray, *, now_s: float) -> IntArray:
        known = self._rows
        try:
            rows = [known[sender] for sender in senders.tolist()]
        except KeyError:
            if len(known) + len(senders) > self._senders_max:
                self._forget_silent()
                known = self._rows
            rows = [self._row_of(sender, now_s=now_s) for sender in senders.tolist()]
        return np.array(rows, dtype=np.int64)

    def _row_of(self, sender: int, *, now_s: float) -> int:
        row = self._rows.get(sender)
        if row is not None:
            return row
        row = len(self._kinds)
        if row == len(self._seen_s):
            self._grow(2 * row)
        kinds = tuple(self._kinds_of(sender))[: self._kinds_max]
        self._rows[sender] = row
        self._kinds.append(kinds)
        number = len(kinds)
        amounts = [kind.allowance.amount for kind in kinds]
        self._full[row, :number] = amounts
        self._tokens[row, :number] = amounts
        self._rate[row, :number] = [
            k.allowance.amount / k.allowance.per.total_seconds() for k in kinds
        ]
        self._is_value[row, :number] = [kind.counts == "values" for kind in kinds]
        self._seen_s[row] = now_s
        return row

    def _grow(self, size: int) -> None:
        """Make room; what is not used is a bucket without a bottom."""
        old = len(self._kinds)
        width = self._kinds_max

        def grown(name: str, fill: float, *, kind: type, wide: bool) -> NDArray[np.generic]:
            array: NDArray[np.generic] = np.full((size, width) if wide else size, fill, dtype=kind)
            if old:
                array[:old] = getattr(self, name)[:old]
            return array

        inf = np.inf
        self._full: FloatArray = grown("_full", inf, kind=np.float64, wide=True)  # type: ignore[assignment]
        self._tokens: FloatArray = grown("_tokens", inf, kind=np.float64, wide=True)  # type: ignore[assignment]
        self._rate: FloatArray = grown("_rate", 0.0, kind=np.float64, wide=True)  # type: ignore[assignment]
        self._is_value: NDArray[np.bool_] = grown("_is_value", 0, kind=np.bool_, wide=True)  # type: ignore[assignment]
        self._seen_s: FloatArray = grown("_seen_s", 0.0, kind=np.float64, wide=False)  # type: ignore[assignment]
        self._blocked_s: FloatArray = grown("_blocked_s", -inf, kind=np.float64, wide=False)  # type: ignore[assignment]
        self._is_over: NDArray[np.bool_] = grown("_is_over", 0, kind=np.bool_, wide=False)  # type: ignore[assignment]
        self._met: IntArray = grown("_met", 0, kind=np.int64, wide=False)  # type: ignore[assignment]

    def _forget_silent(self) -> None:
        """Keep the half that was heard last; those who are over a limit stay in any case."""
        number = len(self._kinds)
        middle = np.median(self._seen_s[:number])
        keep = np.flatnonzero((self._seen_s[:number] >= middle) | self._is_over[:number])
        if len(keep) == number:  # all were heard at once: all begin anew
            keep = keep[self._is_over[:number][keep]]
        by_row = {row: sender for sender, row in self._rows.items()}
        self._kinds = [self._kinds[row] for row in keep]
        self._rows = {by_row[int(row)]: place for place, row in enumerate(keep)}
        for name in (
            "_full",
            "_tokens",
            "_rate",
            "_is_value",
            "_seen_s",
            "_blocked_s",
            "_is_over",
            "_met",
        ):
            setattr(self, name, getattr(self, name)[keep])
        self._grow(max(_START_ROWS, 2 * len(keep)))


def kinds_of_allowances(
    messages: Sequence[Allowance], values: Sequence[Allowance], *, share: float = 1.0
) -> tuple[Kind, ...]:
    """Lay the allowances of a sender side by side.

    Parameters
    ----------
    messages : sequence of Allowance
    values : sequence of Allowance
    share : float
        What of them this process may give away, in (0, 1].
    """
    return tuple(
        Kind(counts=counts, allowance=Allowance(amount=one.amount * share, per=one.per))
        for counts, some in (("messages", messages), ("values", values))
        for one in some
    )
