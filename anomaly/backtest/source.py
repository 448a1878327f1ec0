"""Finds what a product's devices have sent, found and been measured against, so that it can be replayed.

Reads only. Nothing that became known after the end of the replay is handed on: no later sample, no
later finding, no baseline that was learned later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from anomaly import store
from anomaly.backtest.replay import learn_baseline
from anomaly.backtest.track import Stream
from anomaly.baseline import Baseline
from anomaly.evidence import instant
from anomaly.features import Layout
from anomaly.laid_out import laid_out
from anomaly.learn.history import Catalog
from anomaly.learn.model import ModeModel
from anomaly.life_store import read_corrections
from anomaly.lives import Correction
from anomaly.records import Samples, ServiceEvent
from anomaly.sample_store import read_samples
from anomaly.training.live import fitting
from anomaly.training.store import read_roles
from core.pool import Connection
from core.sql import Queries
from core.units import US

_queries = Queries("anomaly")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBaseline:
    """What is normal for a product, and since when that is known."""

    baseline: Baseline | None
    """None: it is still being learned, or devices follow themselves."""
    known_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A device that is replayed."""

    stream: Stream
    normal: KnownBaseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A product's history up to an instant."""

    catalog: Catalog
    layout: Layout
    members: tuple[Member, ...]
    left_out: int
    """Devices whose first samples were let go: what was learned from them cannot be learned again."""
    corrections: tuple[Correction, ...]
    """Of remaining lives, as they were learned while it was live; each holds from its own instant on."""
    models: Mapping[str, ModeModel]
    """Learned champions by failure mode, as far as they had learned nothing yet of the time that is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    stream: Stream
    baseline_id: int | None


def open_source(
    connection: Connection,
    row: store.ProductRow,
    *,
    until_us: int,
    learned_before_us: int | None = None,
) -> Source:
    """Look up whose history can be replayed up to an instant; samples are read while it is replayed.

    `learned_before_us` is the begin of the time that is judged: a model that learned from it stays silent.
    """
    layout = Layout(row.product)
    key = {"product_id": row.id, "until": instant(until_us)}
    rows = connection.execute(_queries["backtest_devices"], key).fetchall()
    gone = connection.execute(_queries["backtest_gone_before"], key).fetchone()
    kept = [r for r in rows if gone is None or r[3] >= gone[0]]
    services = store.read_services(connection, device_ids=[r[0] for r in kept])
    found = [
        _Found(
            stream=_stream(connection, layout, r, services.get(r[0], ()), until_us=until_us),
            baseline_id=r[5],
        )
        for r in kept
    ]
    return Source(
        catalog=Catalog(row.product),
        layout=layout,
        members=_members(connection, layout, found, product_id=row.id, until_us=until_us),
        left_out=len(rows) - len(kept),
        corrections=tuple(read_corrections(connection, product_id=row.id)),
        models=_models(
            connection,
            Catalog(row.product),
            product_id=row.id,
            before_us=until_us if learned_before_us is None else learned_before_us,
        ),
    )


def _models(
    connection: Connection, catalog: Catalog, *, product_id: int, before_us: int
) -> dict[str, ModeModel]:
    champions = fitting(catalog, read_roles(connection, product_id=product_id)["champion"])
    return {
        mode: kept.model
        for mode, kept in champions.items()
        if kept.model.seen.calibrate_until_us <= before_us
    }


def _stream(
    connection: Connection,
    layout: Layout,
    row: Sequence[Any],
    findings: Sequence[ServiceEvent],
    *,
    until_us: int,
) -> Stream:
    device_id, name, begins_at, first_at, through_at, _, lot, firmware, city = row
    traits = {"lot": lot, "firmware": firmware, "site": city}
    return Stream(
        device=name,
        begins_us=store.to_us(begins_at),
        first_us=store.to_us(first_at),
        until_us=min(store.to_us(through_at), until_us),
        samples=partial(_read, connection, layout, device_id),
        findings=tuple(finding for finding in findings if finding.found_us <= until_us),
        traits={key: value for key, value in traits.items() if value},
    )


def _read(
    connection: Connection, layout: Layout, device_id: int, from_us: int, until_us: int
) -> Samples:
    """Read a piece in a transaction of its own: a long replay holds up no clearing away of old rows."""
    samples = read_samples(
        connection, layout, device_id=device_id, from_us=from_us, through_us=until_us - 1
    )
    connection.rollback()
    return samples


def _members(
    connection: Connection,
    layout: Layout,
    found: Sequence[_Found],
    *,
    product_id: int,
    until_us: int,
) -> tuple[Member, ...]:
    """Give each device the baseline it began with, or the newest that was known by then."""
    baselines = _read_baselines(connection, layout, product_id=product_id)
    if not baselines and found and not layout.follows:
        baselines = _learn_anew(layout, [one.stream for one in found], until_us=until_us)
    known = {key: one for key, one in baselines.items() if one.known_us <= until_us}
    newest = list(known.values())[-1] if known else KnownBaseline(baseline=None, known_us=0)
    return tuple(
        Member(stream=one.stream, normal=known.get(one.baseline_id or 0, newest)) for one in found
    )


def _read_baselines(
    connection: Connection, layout: Layout, *, product_id: int
) -> dict[int, KnownBaseline]:
    rows = connection.execute(_queries["backtest_baselines"], {"product_id": product_id}).fetchall()
    return {
        row[0]: KnownBaseline(
            baseline=laid_out(layout, store.baseline_from_json(connection, row[0], row[1])),
            known_us=store.to_us(row[2]),
        )
        for row in rows
    }


def _learn_anew(
    layout: Layout, streams: Sequence[Stream], *, until_us: int
) -> dict[int, KnownBaseline]:
    """Learn what is normal as the scorer would have, if the learning time has passed by then."""
    firsts = sorted(stream.first_us for stream in streams)
    known_us = firsts[(len(firsts) - 1) // 2] + layout.product.learning // US
    if known_us > until_us:
        return {}
    return {0: KnownBaseline(baseline=learn_baseline(layout, streams), known_us=known_us)}
