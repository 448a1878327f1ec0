"""Whether a model that was learned under one sheet can be asked under another. Pure.

A model carries the names of what it looks at, and finds them by these. What a sheet no longer names cannot be found: such a
model would raise, or tell wrong things.
"""

from collections.abc import Iterator

from anomaly.learn.doubts import Doubts
from anomaly.learn.events import Events
from anomaly.learn.frame import AnyGroup
from anomaly.learn.history import Catalog
from anomaly.learn.metrics import Metrics
from anomaly.learn.model import ModeModel
from anomaly.learn.recurring import Recurring
from anomaly.learn.services import Services
from anomaly.learn.wear import Wear


def lost(catalog: Catalog, model: ModeModel) -> tuple[str, ...]:
    """Names that a model looks at and that are not where it can find them, each once; empty: it can be asked."""
    found = [] if model.mode in catalog.modes else [model.mode]
    for group in model.spec.groups:
        found += _lost(catalog, group)
    return tuple(dict.fromkeys(found))


def _lost(catalog: Catalog, group: AnyGroup) -> Iterator[str]:
    match group:
        case Services():
            yield from (name for name in group.components if name not in catalog.components)
            yield from (name for name in group.modes if name not in catalog.modes)
        case Wear() | Doubts():
            yield from (name for name in group.modes if name not in catalog.modes)
        case Events():
            yield from (c.metric for c in group.codes if c.metric not in catalog.codes)
        case Recurring():
            yield from (n for n in (*group.modes, *group.sources) if n not in catalog.modes)
            yield from (c.metric for c in group.codes if c.metric not in catalog.codes)
        case Metrics():
            yield from _lost_metrics(catalog, group)
        case _:
            return


def _lost_metrics(catalog: Catalog, group: Metrics) -> Iterator[str]:
    """Those that are gone. In a model that was kept without the names of its conditions: also those that stand elsewhere now."""
    names = (*group.metrics, *(group.conditions or ()))
    yield from (name for name in names if name not in catalog.metrics)
    if group.regimes is None or group.conditions is not None:
        return
    here = dict(enumerate(catalog.metrics))
    places = zip(group.regimes.metrics, group.metrics, strict=True)
    yield from (name for place, name in places if here.get(place) != name)
    known = tuple(place for place, name in here.items() if name in catalog.conditions)
    if known != group.regimes.conditions:
        yield from catalog.conditions or ("conditions",)
