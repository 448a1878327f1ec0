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

_WIDTH = 8
"""Allowances that a sender can have: a sheet may name four of messages and four of values."""
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

    Senders of the same sort have few different allowances (a product's), so these are kept once, and a
    sender is a row of some 90 bytes.

    Parameters
    ----------
    kinds_of : callable
        Returns the allowances of a sender, known by its number; asked when it is first heard.
    senders_max : int
        Beyond it those who have been silent for longest are forgotten: their buckets are full.
    """

    def __init__(
        self, kinds_of: Callable[[int], Sequence[Kind]], *, senders_max: int = 250_000
    ) -> None:
        self._kinds_of = kinds_of
        self._senders_max = senders_max
        self.forget()

    def __len__(self) -> int:
        return len(self._senders)

    def forget(self) -> None:
        """Begin anew with full buckets: limits have changed."""
        self._forms = _Forms()
        self._senders: IntArray = np.empty(0, dtype=np.int64)
        """Ascending; the rows below belong to them."""
        self._form: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._tokens: FloatArray = np.empty((0, _WIDTH))
        self._seen_s: FloatArray = np.empty(0)
        self._blocked_s: FloatArray = np.empty(0)
        self._met: NDArray[np.int8] = np.empty(0, dtype=np.int8)
        """Which allowance was met last; -1: the sender is not over any."""

    def unknown(self, senders: IntArray) -> IntArray:
        """Return the senders that have no bucket yet, each once."""
        unique = np.unique(senders)
        _, is_known = self._find(unique)
        return unique[~is_known]

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
        rows = self._rows(unique, now_s=now_s)
        forms = self._form[rows]
        sums = np.bincount(place, weights=values, minlength=len(unique))
        cost = np.where(
            self._forms.is_value[forms], sums[:, None], counts[:, None].astype(np.float64)
        )
        self._refill(rows, forms, now_s=now_s)
        fits = (self._tokens[rows] >= cost).all(axis=1) & (self._blocked_s[rows] <= now_s)
        self._tokens[rows[fits]] -= cost[fits]
        relieved = self._relieve(unique[fits], rows[fits])
        if fits.all():
            return Taken(withheld=None, relieved=relieved) if relieved else NOTHING
        withheld = np.zeros(len(senders), dtype=np.bool_)
        overruns: list[Overrun] = []
        for i in np.flatnonzero(~fits):
            sender = _Sender(
                number=int(unique[i]), row=int(rows[i]), messages=np.flatnonzero(place == i)
            )
            overruns += self._take_one_by_one(sender, values, withheld, now_s=now_s)
        return Taken(withheld=withheld, overruns=tuple(overruns), relieved=relieved)

    def _take_one_by_one(
        self, sender: "_Sender", values: IntArray, withheld: NDArray[np.bool_], *, now_s: float
    ) -> list[Overrun]:
        """Take the messages of a sender until the first that does not fit."""
        row, form = sender.row, int(self._form[sender.row])
        is_value, full = self._forms.is_value[form], self._forms.full[form]
        tokens = self._tokens[row]
        was_over = self._met[row] >= 0
        first = 0
        if self._blocked_s[row] <= now_s:
            for message in sender.messages:
                cost = np.where(is_value, float(values[message]), 1.0)
                short = tokens < np.minimum(cost, full)
                if short.any():
                    wait_s = self._wait_s(row, form)
                    self._met[row] = int(np.argmax(np.where(short, wait_s, -1.0)))
                    self._blocked_s[row] = now_s + wait_s.max()
                    break
                tokens -= cost
                first += 1
        held = sender.messages[first:]
        if not len(held):
            return []
        withheld[held] = True
        return [
            Overrun(
                sender=sender.number,
                kind=self._forms.kinds[form][int(self._met[row])],
                is_new=not was_over,
                messages=len(held),
                values=int(values[held].sum()),
                resets_s=float(self._blocked_s[row]),
            )
        ]

    def _wait_s(self, row: int, form: int) -> FloatArray:
        """How long until each bucket of a sender is half full."""
        full, rate = self._forms.full[form], self._forms.rate[form]
        is_there = np.isfinite(full)
        lacks = np.maximum(_HALF * np.where(is_there, full, 0.0) - self._tokens[row], 0.0)
        return np.where(is_there, lacks / np.where(is_there, rate, 1.0), 0.0)

    def _refill(self, rows: IntArray, forms: NDArray[np.int32], *, now_s: float) -> None:
        passed_s = np.maximum(now_s - self._seen_s[rows], 0.0)
        tokens = self._tokens[rows] + self._forms.rate[forms] * passed_s[:, None]
        self._tokens[rows] = np.minimum(tokens, self._forms.full[forms])
        self._seen_s[rows] = np.maximum(now_s, self._seen_s[rows])

    def _relieve(self, senders: IntArray, rows: IntArray) -> tuple[int, ...]:
        over = self._met[rows] >= 0
        if not over.any():
            return ()
        self._met[rows[over]] = -1
        return tuple(int(sender) for sender in senders[over])

    def _find(self, unique: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        """Return where each sender stands or belongs, and whether it is there."""
        rows = np.searchsorted(self._senders, unique)
        if not len(self._senders):
            return rows, np.zeros(len(unique), dtype=np.bool_)
        return rows, self._senders[np.minimum(rows, len(self._senders) - 1)] == unique

    def _rows(self, unique: IntArray, *, now_s: float) -> IntArray:
        rows, is_known = self._find(unique)
        if is_known.all():
            return rows
        if len(self._senders) + int((~is_known).sum()) > self._senders_max:
            self._forget_silent()
            rows, is_known = self._find(unique)
        new = unique[~is_known]
        forms = [self._forms.of(self._kinds_of(sender)) for sender in new.tolist()]
        self._insert(rows[~is_known], new, np.array(forms, dtype=np.int32), now_s=now_s)
        return np.searchsorted(self._senders, unique)

    def _insert(
        self, at: IntArray, senders: IntArray, forms: NDArray[np.int32], *, now_s: float
    ) -> None:
        self._senders = np.insert(self._senders, at, senders)
        self._form = np.insert(self._form, at, forms)
        self._tokens = np.insert(self._tokens, at, self._forms.full[forms], axis=0)
        self._seen_s = np.insert(self._seen_s, at, now_s)
        self._blocked_s = np.insert(self._blocked_s, at, -np.inf)
        self._met = np.insert(self._met, at, -1)

    def _forget_silent(self) -> None:
        """Keep the half that was heard last; those who are over a limit stay in any case."""
        is_over = self._met >= 0
        keep = (self._seen_s > np.median(self._seen_s)) | is_over
        self._senders, self._form = self._senders[keep], self._form[keep]
        self._tokens, self._seen_s = self._tokens[keep], self._seen_s[keep]
        self._blocked_s, self._met = self._blocked_s[keep], self._met[keep]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    """One sender's part of a batch."""

    number: int
    row: int
    messages: NDArray[np.intp]


class _Forms:
    """The different sets of allowances that senders have. What a set lacks is a bucket without a bottom."""

    def __init__(self) -> None:
        self.kinds: list[tuple[Kind, ...]] = []
        self.full: FloatArray = np.empty((0, _WIDTH))
        self.rate: FloatArray = np.empty((0, _WIDTH))
        self.is_value: NDArray[np.bool_] = np.empty((0, _WIDTH), dtype=np.bool_)
        self._known: dict[tuple[Kind, ...], int] = {}

    def of(self, kinds: Sequence[Kind]) -> int:
        """Return the number of a set."""
        key = tuple(kinds)[:_WIDTH]
        found = self._known.get(key)
        if found is not None:
            return found
        full, rate = np.full(_WIDTH, np.inf), np.zeros(_WIDTH)
        is_value = np.zeros(_WIDTH, dtype=np.bool_)
        for i, kind in enumerate(key):
            full[i] = kind.allowance.amount
            rate[i] = kind.allowance.amount / kind.allowance.per.total_seconds()
            is_value[i] = kind.counts == "values"
        self.full = np.vstack((self.full, full))
        self.rate = np.vstack((self.rate, rate))
        self.is_value = np.vstack((self.is_value, is_value))
        self.kinds.append(key)
        self._known[key] = len(self.kinds) - 1
        return self._known[key]


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
