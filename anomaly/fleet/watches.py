"""From what is stored of devices to the stretches of life that are judged. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from anomaly.fleet.lives import Lives, Trait, make_trait
from anomaly.fleet.standing import Watch
from anomaly.records import FloatArray
from core.product import FailureMode, Product

_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A device, what it shares with others, and when it was watched. Instants in µs since 1970."""

    device_id: int
    product_id: int
    lot: str
    city: str
    firmware: str
    """What it runs now; only used where nothing is known of when it changed."""
    born_us: int
    since_us: int
    until_us: int
    is_in_service: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The first of each kind, in µs since 1970."""

    failures: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """By device and failure mode."""
    signs: Mapping[tuple[int, str], int] = field(default_factory=dict)
    replaced: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """By device and component."""
    versions: Mapping[int, Sequence[tuple[int, str]]] = field(default_factory=dict)
    """By device: since when it has run which firmware, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sister:
    """A product of the same manufacturer."""

    product_id: int
    title: str
    product: Product


def watches_of(
    product_id: int, sisters: Sequence[Sister], members: Sequence[Member], events: Events
) -> list[Watch]:
    """Lay out the lives of a product's devices, once per failure mode.

    Where other products of the manufacturer have a failure mode of the same name, the products are
    compared with each other as well.
    """
    product = next(s.product for s in sisters if s.product_id == product_id)
    own = [m for m in members if m.product_id == product_id]
    titles = {s.product_id: s.title for s in sisters}
    made = []
    for mode in product.failure_modes:
        made.append(_watch(mode, own, events))
        alike = {s.product_id for s in sisters if _has_mode(s.product, mode.name)}
        if len(alike) > 1:
            both = [m for m in members if m.product_id in alike]
            made.append(_watch(mode, both, events, titles=titles))
    return made


def _has_mode(product: Product, name: str) -> bool:
    return any(mode.name == name for mode in product.failure_modes)


def _watch(
    mode: FailureMode,
    members: Sequence[Member],
    events: Events,
    *,
    titles: Mapping[int, str] | None = None,
) -> Watch:
    failed, detected = [], []
    for member in members:
        key = (member.device_id, mode.name)
        failure, sign = events.failures.get(key), events.signs.get(key)
        replaced = events.replaced.get((member.device_id, mode.component))
        failed += list(_stretches(member, events, ends_us=failure, gone_us=replaced))
        gone = min((at for at in (replaced, failure) if at is not None), default=None)
        detected += list(_stretches(member, events, ends_us=sign, gone_us=gone))
    return Watch(mode=mode.name, failed=_lives(failed, titles), detected=_lives(detected, titles))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    member: Member
    firmware: str
    since_us: int
    until_us: int
    has_ended: bool
    goes_on: bool


def _stretches(
    member: Member, events: Events, *, ends_us: int | None, gone_us: int | None
) -> Iterator[_Stretch]:
    """Cut a life where its firmware changed; it ends with its event, or when the part was replaced."""
    has_ended = ends_us is not None and (gone_us is None or ends_us <= gone_us)
    is_gone = gone_us is not None and not has_ended
    # What a technician found after the last sample still happened to a device that was watched.
    until = (
        ends_us
        if has_ended and ends_us is not None
        else min(member.until_us, gone_us or member.until_us)
    )
    versions = events.versions.get(member.device_id) or [(member.since_us, member.firmware)]
    begins = [member.since_us, *(at for at, _ in versions[1:])]
    ends = [*(at for at, _ in versions[1:]), until]
    for begin, end, (_, version) in zip(begins, ends, versions, strict=True):
        since, last = max(begin, member.since_us), min(end, until)
        if since >= last:
            continue
        is_newest = version == versions[-1][1]
        yield _Stretch(
            member=member,
            firmware=version,
            since_us=since,
            until_us=last,
            has_ended=has_ended and last == until,
            goes_on=member.is_in_service and is_newest and last == until and not is_gone,
        )


def _lives(stretches: Sequence[_Stretch], titles: Mapping[int, str] | None) -> Lives:
    return Lives(
        device=np.array([s.member.device_id for s in stretches], dtype=np.int64),
        born=_days([s.member.born_us for s in stretches]),
        since=_days([s.since_us for s in stretches]),
        until=_days([s.until_us for s in stretches]),
        has_failed=np.array([s.has_ended for s in stretches], dtype=np.bool_),
        goes_on=np.array([s.goes_on for s in stretches], dtype=np.bool_),
        traits=_traits(stretches, titles),
    )


def _traits(stretches: Sequence[_Stretch], titles: Mapping[int, str] | None) -> tuple[Trait, ...]:
    if titles is not None:
        return (make_trait("product", [titles[s.member.product_id] for s in stretches]),)
    return (
        make_trait("lot", [s.member.lot for s in stretches]),
        make_trait("firmware", [s.firmware for s in stretches]),
        make_trait("city", [s.member.city for s in stretches]),
    )


def _days(instants_us: Sequence[int]) -> FloatArray:
    return np.array(instants_us, dtype=np.float64) / _US_PER_DAY
