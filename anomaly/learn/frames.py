"""Frames for several models at once: what they have in common is computed once. Pure.

Models of one product mostly look at the same features; what each recurring mode adds is looked up for all
modes together. The frames are those of `make_frame` to the bit.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from anomaly.learn.frame import AnyGroup, Frame, FrameSpec, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.packed import Packed
from anomaly.learn.recurring import Recurring
from anomaly.records import FloatArray, IntArray


def frames_of(
    catalog: Catalog,
    models: Sequence[ModeModel],
    histories: Sequence[History],
    *,
    at_us: Sequence[IntArray],
) -> Iterator[tuple[ModeModel, Frame]]:
    """Make the frame of each model in turn, all at the same instants."""
    known: list[tuple[AnyGroup, FloatArray]] = []
    joined = _joined([g for m in models for g in m.spec.groups if isinstance(g, Recurring)])
    tables = [
        [wide.table(catalog, h, at) for h, at in zip(histories, at_us, strict=True)]
        for wide in joined
    ]

    def columns(group: AnyGroup) -> FloatArray:
        if isinstance(group, Recurring):
            wide = next(n for n, other in enumerate(joined) if _is_part(group, other))
            place = joined[wide].modes.index(group.modes[0])
            return np.concatenate([table[:, place] for table in tables[wide]])
        for other, found in known:
            if other == group:
                return found
        spec = FrameSpec(groups=(group,))
        known.append((group, make_frame(catalog, spec, histories, at_us=at_us).x))
        return known[-1][1]

    empty = make_frame(catalog, FrameSpec(groups=()), histories, at_us=at_us)
    for model in models:
        parts = [columns(group) for group in model.spec.groups]
        x = np.concatenate([empty.x, *parts], axis=1)
        yield model, Frame(device=empty.device, at_us=empty.at_us, x=x, names=model.spec.names)


def _joined(groups: Sequence[Recurring]) -> list[Recurring]:
    """Put single modes of the same table together."""
    sets: list[list[Recurring]] = []
    for group in groups:
        for some in sets:
            is_new = all(group.modes != other.modes for other in some)
            if _blank(some[0]) == _blank(group) and is_new:
                some.append(group)
                break
        else:
            sets.append([group])
    return [
        msgspec.structs.replace(
            some[0],
            modes=tuple(mode for group in some for mode in group.modes),
            share=Packed.of(np.concatenate([g.share.array for g in some]), "<f8"),
            follows=Packed.of(np.concatenate([g.follows.array for g in some], axis=1), "<f8"),
        )
        for some in sets
    ]


def _blank(group: Recurring) -> Recurring:
    none = Packed.of(np.empty(0), "<f8")
    return msgspec.structs.replace(group, modes=(), share=none, follows=none)


def _is_part(group: Recurring, wide: Recurring) -> bool:
    if group.modes[0] not in wide.modes or _blank(group) != _blank(wide):
        return False
    place = wide.modes.index(group.modes[0])
    return bool(
        wide.share.array[place] == group.share.array[0]
        and np.array_equal(wide.follows.array[:, place], group.follows.array[:, 0])
    )
