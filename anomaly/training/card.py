"""What `forecare model show` says about one model. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from anomaly.training.records import ModelCard, ModelRow

_ROLE = {"champion": "speaks", "shadow": "in shadow: asked, and not heard", None: "silent"}
_SCORES = (
    ("brier", "Brier score"),
    ("ece", "calibration error"),
    ("average_precision", "average precision"),
    ("life_loss", "error of remaining life, hours"),
)


def card_lines(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Return names and values, those that tell most first."""
    row, figures = card.row, card.row.figures
    yield "failure mode", f"{row.failure_mode} of {card.product}, revision {row.revision}"
    yield "role", _ROLE[row.role]
    yield "learned from", f"{row.data_from:%d %b %Y} to {row.data_through:%d %b %Y}"
    yield "devices, failures", f"{row.devices:,}, {row.failures:,}"
    if figures.get("reason"):
        yield "compared with what spoke", str(figures["reason"])
    if row.judged:
        yield (
            "judged on",
            (
                f"{figures['devices']:,} devices never seen, {row.judged:,} failures,"
                f" {figures['rows']:,} forecasts of {figures['horizon_hours']:g} h ahead"
            ),
        )
        yield "better in", f"{figures['better_share']:.0%} of draws of devices"
    yield "remaining life", row.life.words.removeprefix("remaining life ")
    yield "in shadow", shadow_words(card)
    yield "features", features_words(card.features)
    yield "seeds", ", ".join(map(str, card.seeds))
    yield "code version", f"{row.code_version}, made {row.created_at:%Y-%m-%d %H:%M} UTC"


def contest_lines(row: ModelRow) -> Iterator[tuple[str, ...]]:
    """Return the figures of a model beside those of what spoke then."""
    new, old = row.figures["challenger"], row.figures["champion"]
    for key, name in _SCORES:
        if new.get(key) is not None or old.get(key) is not None:
            yield name, _number(new.get(key)), _number(old.get(key))


def shadow_words(card: ModelCard) -> str:
    """Say how often it was asked without being heard, and what came of it."""
    if not card.shadow_forecasts or card.shadow_newest_at is None:
        return "never asked"
    said = f"{card.shadow_forecasts:,} forecasts, the newest for {card.shadow_newest_at:%Y-%m-%d %H:%M} UTC"
    if card.shadow_chance is None or card.shadow_chance_said is None:
        return said
    return (
        f"{said}; on average {card.shadow_chance:.1%} within 30 days,"
        f" where {card.shadow_chance_said:.1%} was said"
    )


def features_words(names: Sequence[str]) -> str:
    """Say what it looks at: features of one kind, whose names begin alike, in one line."""
    if not names:
        return "none"
    counts = Counter(name.partition(".")[0] for name in names)
    kinds = [f"{kind} ({count})" if count > 1 else kind for kind, count in counts.items()]
    return f"{len(names)}: {', '.join(kinds)}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"
