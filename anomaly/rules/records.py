"""The rows of a rule's standing and of what changed it. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from anomaly.ledger import Standing
from anomaly.records import Sentence
from anomaly.rules.count import Tally

RuleChange = Literal["demoted", "reinstated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one failure mode's rule stands. Instants are event time."""

    failure_mode: str
    standing: Standing = "full"
    since: datetime | None = None
    model_id: int | None = None
    """Whose forecasts are counted; None: the first layer's."""
    counted_from: datetime | None = None
    """None: from the first forecast on."""
    counted_through: datetime | None = None
    counted: Tally = field(default_factory=Tally)
    device_years: float = 0.0
    budget: float = 0.0
    evidence: float = 1.0
    sentences: tuple[Sentence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule with the name of its product."""

    product: str
    rule: Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEvent:
    """Why a rule opens tickets or does not."""

    at: datetime
    """Wall time."""
    failure_mode: str
    model_id: int | None
    change: RuleChange
    reason: str
