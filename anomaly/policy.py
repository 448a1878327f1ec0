"""From scores to alert episodes: N of the last M, hysteresis, cool-down. Pure.

Two forms that agree to the microsecond, however the stream is cut: `step` carries a small state from
score to score (production), `anomaly.runs.runs_of` judges whole rows of a fleet at once (choice of
thresholds, evaluations). Times are event time, microseconds since 1970.
"""

import msgspec
import numpy as np

from core.errors import InvalidError

_OF_MAX = 62  # scores that a state remembers as the bits of one number


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a score becomes an alert, and when that alert is over.

    An alert opens when `confirm` of the last `of` scores are at least `open_above`. It clears when so
    many of them are below `clear_below` that no `confirm` are left. If it would open again within
    the cool-down, it was never over. Unknown scores (NaN) count for nothing.
    """

    open_above: float
    clear_below: float
    confirm: int = 3
    of: int = 4
    cooldown_us: int = 0
    gap_us: int | None = None
    """After a longer silence than this the scores before it confirm nothing; an open alert stays open."""

    def __post_init__(self) -> None:
        if not 1 <= self.confirm <= self.of <= _OF_MAX:
            raise InvalidError(
                f"an alert cannot need {self.confirm} of the last {self.of} scores",
                hint=f"1 <= confirm <= of <= {_OF_MAX}",
            )
        if self.clear_below > self.open_above:
            raise InvalidError(
                f"an alert that opens at {self.open_above:g} cannot clear below {self.clear_below:g}",
                hint="clear_below is at most open_above",
            )

    def at(self, threshold: float) -> "Policy":
        """Return the same policy at another threshold, the ratio of its two levels kept."""
        ratio = self.clear_below / self.open_above if self.open_above > 0 else 1.0
        clear = threshold * ratio if np.isfinite(threshold) else threshold
        return msgspec.structs.replace(self, open_above=threshold, clear_below=clear)


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of one failure mode of one device."""

    device: str
    mode: str
    opened_us: int
    cleared_us: int | None
    """None: still open."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is over."""

    opened_us: int
    cleared_us: int


class PolicyState(msgspec.Struct, frozen=True, kw_only=True):
    """What must be remembered between two scores of one failure mode of one device."""

    highs: int = 0
    """Bit i: the i-th newest score was at least `open_above`."""
    lows: int = 0
    last_us: int | None = None
    broken_us: int | None = None
    opened_us: int | None = None
    """Since when an alert is open or cooling down."""
    cleared_us: int | None = None
    """Since when it is cooling down."""

    @property
    def is_open(self) -> bool:
        return self.opened_us is not None and self.cleared_us is None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    state: PolicyState
    finished: tuple[Span, ...] = ()
    """Alerts that are over for good: cooled down, or ended by a break."""


def step(policy: Policy, state: PolicyState, *, at_us: int, score: float) -> Step:
    """Take one score in. Instants must rise."""
    if np.isnan(score):
        return Step(state=state)
    finished: tuple[Span, ...] = ()
    highs, lows = state.highs, state.lows
    if _is_cut_off(policy, state, at_us):
        highs = lows = 0
    mask = (1 << policy.of) - 1
    highs = (highs << 1 | (score >= policy.open_above)) & mask
    lows = (lows << 1 | (score < policy.clear_below)) & mask
    opened, cleared = state.opened_us, state.cleared_us
    if highs.bit_count() >= policy.confirm:
        if opened is not None and cleared is not None and at_us - cleared > policy.cooldown_us:
            finished = (Span(opened_us=opened, cleared_us=cleared),)
            opened = None
        opened, cleared = at_us if opened is None else opened, None
    elif opened is not None and cleared is None:
        if lows.bit_count() > policy.of - policy.confirm:
            cleared = at_us
    elif opened is not None and cleared is not None and at_us - cleared > policy.cooldown_us:
        finished = (Span(opened_us=opened, cleared_us=cleared),)
        opened = cleared = None
    now = PolicyState(
        highs=highs, lows=lows, last_us=at_us, broken_us=state.broken_us,
        opened_us=opened, cleared_us=cleared,
    )  # fmt: skip
    return Step(state=now, finished=finished)


def broken(state: PolicyState, *, at_us: int) -> Step:
    """Begin anew after a service or a failure: scores up to `at_us` say nothing about what comes later.

    A break that was applied before changes nothing, so it may be handed in again.
    """
    if state.broken_us is not None and at_us <= state.broken_us:
        return Step(state=state)
    finished: tuple[Span, ...] = ()
    if state.opened_us is not None:
        ended = at_us if state.cleared_us is None else state.cleared_us
        finished = (Span(opened_us=state.opened_us, cleared_us=ended),)
    return Step(state=PolicyState(broken_us=at_us), finished=finished)


def _is_cut_off(policy: Policy, state: PolicyState, at_us: int) -> bool:
    if policy.gap_us is None or state.last_us is None:
        return False
    return at_us - state.last_us > policy.gap_us
