"""A baseline under a product sheet that has changed since: what was learned is found by its names. Pure."""

import msgspec

from anomaly.baseline import UNKNOWN, Baseline, MetricBaseline, gradients_of, unlearned
from anomaly.features import Layout, Range, Term, terms_of

_ANYWHERE = Range(low=-UNKNOWN, high=UNKNOWN)
"""Where a condition was that nothing was learned of: no value lies outside."""


def laid_out(layout: Layout, baseline: Baseline) -> Baseline:
    """Lay a baseline out for a product's sheet of today; the same one where it has it all in its places.

    What is gone from the sheet is left out. A metric that is new has no normal, so nothing about it is strange; nor has one
    that was explained by what the sheet no longer names. A condition that is new explains nothing.
    """
    conditions, terms = _names(layout, baseline)
    metrics = tuple(m.metric for m in baseline.metrics)
    if (metrics, conditions, terms) == (layout.watched, layout.conditions, layout.terms):
        return baseline
    known = {m.metric: m for m in baseline.metrics}
    ranges = dict(zip(conditions, baseline.ranges, strict=True))
    flat = dict(zip(conditions, baseline.condition_flat_share, strict=True))
    moved = msgspec.structs.replace(
        baseline,
        ranges=tuple(ranges.get(name, _ANYWHERE) for name in layout.conditions),
        metrics=tuple(_moved(layout, terms, name, known.get(name)) for name in layout.watched),
        condition_flat_share=tuple(flat.get(name, 1.0) for name in layout.conditions),
        gradients=(),
        conditions=layout.conditions,
        terms=layout.terms,
    )
    return msgspec.structs.replace(moved, gradients=gradients_of(layout, moved))


def without_normal(layout: Layout, baseline: Baseline) -> tuple[str, ...]:
    """Watched metrics that are judged by nothing: new to the baseline, or never learned."""
    return tuple(m.metric for m in laid_out(layout, baseline).metrics if m.sigma >= UNKNOWN)


def _moved(
    layout: Layout, terms: tuple[Term, ...], name: str, old: MetricBaseline | None
) -> MetricBaseline:
    if old is None:
        return unlearned(name, terms=len(layout.terms))
    slopes = {
        term: slope for term, slope in zip(terms, old.coefficients, strict=True) if slope != 0
    }
    if not slopes.keys() <= set(layout.terms):
        return unlearned(name, terms=len(layout.terms))
    return msgspec.structs.replace(
        old, coefficients=tuple(slopes.get(term, 0.0) for term in layout.terms)
    )


def _names(layout: Layout, baseline: Baseline) -> tuple[tuple[str, ...], tuple[Term, ...]]:
    """Conditions and terms of a baseline.

    One that was kept before it had them is taken to be explained as the sheet explains its metrics today, if the same
    conditions and as many terms come of it; else nothing of it can be told apart.
    """
    width = len(baseline.metrics[0].coefficients) if baseline.metrics else 0
    if baseline.terms or not width:
        return baseline.conditions, baseline.terms
    leans = {m.name: m.depends_on for m in layout.product.metrics}
    own = [leans.get(m.metric, ()) for m in baseline.metrics]
    found = tuple(name for name in leans if any(name in some for some in own))
    conditions = baseline.conditions or found
    terms = tuple(dict.fromkeys(term for some in own for term in terms_of(some)))
    number = len(baseline.ranges)
    if set(conditions) == set(found) and (len(conditions), len(terms)) == (number, width):
        return conditions, terms
    return _nameless(number), tuple((name,) for name in _nameless(width))


def _nameless(number: int) -> tuple[str, ...]:
    """Names that no metric can have."""
    return tuple(f"?{place}" for place in range(number))
