"""Features of what comes again and again: one table for all failure modes of a product, the mode as a row. Pure.

A hundred modes (alarm codes, most of them rare) cannot have a hazard each, and a few that come rarely are
told better together. What they share is how a failure recurs: how often and how lately it came on this
device, how often on others, what usually follows the codes just seen. So a row is a device, an
instant and a mode, and `anomaly.learn.shared` learns from all modes together.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.events import Code
from anomaly.learn.history import Catalog, History
from anomaly.learn.packed import Packed
from anomaly.learn.past import Past
from anomaly.records import FloatArray, IntArray

OWN_PRIOR = 10.0
"""Stretches as which the fleet's share counts beside the device's own."""
SOURCE_EVENTS_MIN = 10
"""A code seen less often says nothing of what follows it."""
SOURCES_MAX = 300
SPAN_FACTOR = 4
SPANS_MAX = 4
_FIXED = (
    "own_share", "own_share_lately", "fleet_share", "watched_hours", "hours_ago", "events_ago",
    "share_of_events", "events", "kinds", "expected",
)  # fmt: skip


class Recurring(msgspec.Struct, frozen=True, kw_only=True, tag="recurring", dict=True):
    """How each mode recurs; a stretch is the time up to the shortest horizon."""

    modes: tuple[str, ...]
    """Whose columns are made, one block of columns after the other."""
    stretch_hours: float
    spans_hours: tuple[float, ...]
    """Looked back, rising; the first one is also where codes count as just seen."""
    codes: tuple[Code, ...]
    """What may announce a mode; empty: other modes do."""
    sources: tuple[str, ...]
    """Modes that may announce others, where there are no codes."""
    share: Packed
    """Of stretches in which each mode comes; (modes,)."""
    follows: Packed
    """Row: a code or mode just seen; column: how often the mode comes in the stretch after; (sources, modes)."""

    @classmethod
    def fit(
        cls,
        catalog: Catalog,
        histories: Sequence[History],
        *,
        at_us: Sequence[IntArray],
        stretch_hours: float,
        like: "Recurring | None" = None,
    ) -> "Recurring":
        """Count over training devices; every device weighs the same, however long it was watched.

        Parameters
        ----------
        at_us : sequence of ndarray
            Instants per history at which is counted.
        stretch_hours : float
            The shortest horizon that is forecast.
        like : Recurring, optional
            Take spans and sources from there: what others of the same table have.
        """
        plain = like or cls._empty(catalog, histories, stretch_hours=stretch_hours)
        rates, before, both, rows = [], [], [], 0
        stretch_us = round(stretch_hours * US_PER_HOUR)
        for history, at in zip(histories, at_us, strict=True):
            whole = at[at + stretch_us <= history.until_us]
            if not len(whole):
                continue
            past = Past.of(*plain.failures(catalog, history), number=len(plain.modes))
            came = (past.until(whole + stretch_us) - past.until(whole) > 0).astype(np.float64)
            present = (plain.just_seen(catalog, history, whole) > 0).astype(np.float64)
            rates.append(came.mean(axis=0))
            before.append(present.mean(axis=0))
            both.append(present.T @ came / len(whole))
            rows += len(whole)
        if not rates:
            return plain
        share = (rows * np.mean(rates, axis=0) + 0.5) / (rows + 1)
        prior = OWN_PRIOR / rows
        joint, alone = np.sum(both, axis=0), np.sum(before, axis=0)
        follows = (joint + prior * share[None, :]) / (alone + prior)[:, None]
        return msgspec.structs.replace(
            plain, share=Packed.of(share, "<f8"), follows=Packed.of(follows, "<f8")
        )

    @classmethod
    def _empty(
        cls, catalog: Catalog, histories: Sequence[History], *, stretch_hours: float
    ) -> "Recurring":
        counts: Counter[tuple[int, int]] = Counter()
        for history in histories:
            pairs = zip(history.event_metric.tolist(), history.event_code.tolist(), strict=True)
            counts.update(pairs)
        frequent = sorted(counts, key=lambda key: (-counts[key], key))[:SOURCES_MAX]
        codes = tuple(
            Code(metric=catalog.codes[metric], code=code)
            for metric, code in sorted(frequent)
            if counts[metric, code] >= SOURCE_EVENTS_MIN
        )
        first = max(catalog.every_us, catalog.window_us) / US_PER_HOUR
        number = len(codes) or len(catalog.modes)
        return cls(
            modes=catalog.modes,
            stretch_hours=stretch_hours,
            spans_hours=tuple(first * SPAN_FACTOR**n for n in range(SPANS_MAX)),
            codes=codes,
            sources=() if codes else catalog.modes,
            share=Packed.of(np.full(len(catalog.modes), 1e-3), "<f8"),
            follows=Packed.of(np.full((number, len(catalog.modes)), 1e-3), "<f8"),
        )

    def of(self, mode: str) -> "Recurring":
        """Return what makes the columns of one mode alone."""
        place = self.modes.index(mode)
        return msgspec.structs.replace(
            self,
            modes=(mode,),
            share=Packed.of(self.share.array[place : place + 1], "<f8"),
            follows=Packed.of(self.follows.array[:, place : place + 1], "<f8"),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{mode}.{name}" for mode in self.modes for name in self.kinds)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Features of each mode."""
        return (*_FIXED, *(f"times_in_{span:g}h" for span in self.spans_hours))

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        table = self.table(catalog, history, at_us)
        return table.reshape(len(at_us), len(self.names))

    def table(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features per instant and mode; shape (instants, modes, kinds)."""
        past = Past.of(*self.failures(catalog, history), number=len(self.modes))
        seen = self.just_seen(catalog, history, at_us)
        times = [past.until(at_us) - past.until(at_us - _us(span)) for span in self.spans_hours]
        total = seen.sum(axis=1)[:, None]
        kinds = (seen > 0).sum(axis=1)[:, None]
        expected = np.einsum("rs,sm->rm", (seen > 0).astype(np.float64), self.follows.array)
        columns = (
            *self._shares(past, history, at_us),
            self.share.array[None, :],
            ((at_us - history.seen_from_us) / US_PER_HOUR)[:, None],
            *self._ago(past, self._sources(catalog, history)[0], at_us),
            times[0] / np.maximum(total, 1), total, kinds, expected / np.maximum(kinds, 1), *times,
        )  # fmt: skip
        shape = (len(at_us), len(self.modes))
        return np.stack([np.broadcast_to(column, shape) for column in columns], axis=2)

    def _shares(
        self, past: "Past", history: History, at_us: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Share of past stretches in which each mode came: ever, and over the longest span."""
        stretch, fleet = _us(self.stretch_hours), self.share.array[None, :]
        prior = OWN_PRIOR * stretch
        covered = past.covered(at_us, stretch_us=stretch, from_us=history.seen_from_us)
        ever = (at_us - history.seen_from_us)[:, None]
        span = _us(self.spans_hours[-1])
        start = np.maximum(at_us - span, history.seen_from_us)
        lately = covered - past.covered(start, stretch_us=stretch, from_us=history.seen_from_us)
        return (
            (covered + prior * fleet) / (ever + prior),
            (lately + prior * fleet) / ((at_us - start)[:, None] + prior),
        )

    def _ago(
        self, past: "Past", source_us: IntArray, at_us: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Hours, and events of any kind, since each mode came last; NaN before it ever did."""
        last_us, has_come = past.last(at_us)
        hours = np.where(has_come, (at_us[:, None] - last_us) / US_PER_HOUR, np.nan)
        since = np.searchsorted(source_us, at_us, side="right")[:, None]
        events = since - np.searchsorted(source_us, last_us, side="right")
        return hours, np.where(has_come, events, np.nan)

    def failures(self, catalog: Catalog, history: History) -> tuple[IntArray, IntArray]:
        """Instants, and places in `modes`."""
        place = self._place_of(catalog, self.modes)[history.failure_mode]
        return history.failure_us[place >= 0], place[place >= 0]

    def _sources(self, catalog: Catalog, history: History) -> tuple[IntArray, IntArray]:
        """Instants of what may announce, and places in `codes` or `sources`."""
        if not self.codes:
            place = self._place_of(catalog, self.sources)[history.failure_mode]
            return history.failure_us[place >= 0], place[place >= 0]
        found = np.full(len(history.event_us), -1, dtype=np.int64)
        for number, metric in enumerate(catalog.codes):
            order, codes = self._known(metric)
            own = np.flatnonzero(history.event_metric == number)
            if len(codes) and len(own):
                wanted = history.event_code[own]
                near = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
                found[own] = np.where(codes[near] == wanted, order[near], -1)
        return history.event_us[found >= 0], found[found >= 0]

    def _known(self, metric: str) -> tuple[IntArray, IntArray]:
        """Places in `codes` of one metric's, and the codes, rising."""
        if metric not in self._known_codes:
            places = [n for n, code in enumerate(self.codes) if code.metric == metric]
            places.sort(key=lambda n: self.codes[n].code)
            codes = np.array([self.codes[n].code for n in places], dtype=np.int64)
            self._known_codes[metric] = np.array(places, dtype=np.int64), codes
        return self._known_codes[metric]

    @cached_property
    def _known_codes(self) -> dict[str, tuple[IntArray, IntArray]]:
        return {}

    def _place_of(self, catalog: Catalog, names: Sequence[str]) -> IntArray:
        """Place in `names` of each mode of the catalog, or -1."""
        key = (catalog.modes, tuple(names))
        if key not in self._places:
            found = {name: place for place, name in enumerate(names)}
            self._places[key] = np.array(
                [found.get(mode, -1) for mode in catalog.modes], dtype=np.int64
            )
        return self._places[key]

    @cached_property
    def _places(self) -> dict[tuple[tuple[str, ...], tuple[str, ...]], IntArray]:
        return {}

    def just_seen(self, catalog: Catalog, history: History, at_us: IntArray) -> IntArray:
        """How often each source came within the first span; (instants, sources)."""
        number = len(self.codes) or len(self.sources)
        past = Past.of(*self._sources(catalog, history), number=number)
        return past.until(at_us) - past.until(at_us - _us(self.spans_hours[0]))


def _us(hours: float) -> int:
    return round(hours * US_PER_HOUR)
