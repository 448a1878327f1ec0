"""Features: codes of events, how many lately and how long ago. Pure.

Which codes there are is learned; those seldom seen are counted together, so that a code that comes up
after training still counts. Spans grow from the time between two forecasts to a quarter of what was
observed, so they fit a machine that is watched for hours and one that is watched for years.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.learn.age import US_PER_HOUR
from anomaly.learn.history import Catalog, History
from anomaly.records import FloatArray, IntArray

EVENTS_MIN = 10
"""A code seen less often in training has no column of its own: trees need about so many rows to learn."""
CODES_MAX = 40
"""Columns stay affordable: the most frequent codes have their own."""
SPAN_FACTOR = 4
SPANS_MAX = 6
_US_PER_DAY = 86_400_000_000


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one metric of codes."""

    metric: str
    code: int


class Events(msgspec.Struct, frozen=True, kw_only=True, tag="events"):
    """Per code: how many in each span of time, hours since the last, and the hour of the day at which it came.

    What a machine reports when it tests itself at its fixed hour means more than the same code at any time.
    """

    codes: tuple[Code, ...] = ()
    spans_hours: tuple[float, ...] = ()
    has_rare: bool = False
    """Whether codes were seen at all; then those not in `codes` are counted together."""

    @classmethod
    def fit(cls, catalog: Catalog, histories: Sequence[History]) -> "Events":
        counts: Counter[tuple[int, int]] = Counter()
        for history in histories:
            counts.update(
                zip(history.event_metric.tolist(), history.event_code.tolist(), strict=True)
            )
        if not counts:
            return cls()
        frequent = sorted(counts, key=lambda key: (-counts[key], key))[:CODES_MAX]
        return cls(
            codes=tuple(
                Code(metric=catalog.codes[metric], code=code)
                for metric, code in sorted(frequent)
                if counts[metric, code] >= EVENTS_MIN
            ),
            spans_hours=_spans(catalog, histories),
            has_rare=True,
        )

    @property
    def names(self) -> tuple[str, ...]:
        labels = [f"{code.metric}_{code.code}" for code in self.codes]
        labels += ["rare_event", "any_event"] if self.has_rare else []
        return tuple(
            f"{label}_{what}"
            for label in labels
            for what in (*(f"in_{s:g}h" for s in self.spans_hours), "hours_ago", "came_at_hour")
        )

    def columns(self, catalog: Catalog, history: History, at_us: IntArray) -> FloatArray:
        """Features at the given instants; shape (instants, names)."""
        parts = []
        rare = np.ones(len(history.event_us), dtype=np.bool_)
        for code in self.codes:
            metric = catalog.codes.index(code.metric) if code.metric in catalog.codes else -1
            chosen = (history.event_metric == metric) & (history.event_code == code.code)
            rare &= ~chosen
            parts.append(self._of(history.event_us[chosen], at_us))
        if self.has_rare:
            parts.append(self._of(history.event_us[rare], at_us))
            parts.append(self._of(history.event_us, at_us))
        return np.concatenate(parts, axis=1) if parts else np.empty((len(at_us), 0))

    def _of(self, event_us: IntArray, at_us: IntArray) -> FloatArray:
        found = np.empty((len(at_us), len(self.spans_hours) + 2))
        seen = np.searchsorted(event_us, at_us, side="right")
        for column, span in enumerate(self.spans_hours):
            before = np.searchsorted(event_us, at_us - round(span * US_PER_HOUR), side="right")
            found[:, column] = seen - before
        found[:, -2] = hours_since(event_us, at_us)
        last = event_us[np.maximum(seen - 1, 0)] if len(event_us) else np.zeros_like(at_us)
        found[:, -1] = np.where(seen > 0, last % _US_PER_DAY / US_PER_HOUR, np.nan)
        return found


def hours_since(past_us: IntArray, at_us: IntArray) -> FloatArray:
    """Hours since the last of the rising instants at or before each of `at_us`; NaN before the first."""
    seen = np.searchsorted(past_us, at_us, side="right")
    if not len(past_us):
        return np.full(len(at_us), np.nan)
    hours = (at_us - past_us[np.maximum(seen - 1, 0)]) / US_PER_HOUR
    return np.where(seen > 0, hours, np.nan)


def _spans(catalog: Catalog, histories: Sequence[History]) -> tuple[float, ...]:
    first = max(catalog.every_us, catalog.window_us) / US_PER_HOUR
    observed = float(np.median([h.until_us - h.begins_us for h in histories])) / US_PER_HOUR
    spans = [first * SPAN_FACTOR**n for n in range(SPANS_MAX)]
    return tuple(span for span in spans if span <= max(observed / SPAN_FACTOR, first))
