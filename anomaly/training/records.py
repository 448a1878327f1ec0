"""What crosses the borders inside training: frozen records with names. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from anomaly.learn.model import ModeModel

_HOURS_PER_DAY = 24
Role = Literal["champion", "shadow"]
ModelChange = Literal["trained", "refused", "shadowed", "promoted", "restored", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptModel:
    """A model as it is stored, ready to speak."""

    id: int
    failure_mode: str
    model: ModeModel


class LifeTold(msgspec.Struct, frozen=True, kw_only=True):
    """What of remaining life a model has learned; kept with its figures."""

    lives: int = 0
    """That ended in a failure; 0: nothing was learned that would tell more than the hazard."""
    share: float = 0.0
    """How much of the quantiles' shape comes from it."""
    rmse_hours: float | None = None
    """On devices left out, of lives up to the longest that can be told apart."""
    rmse_age_hours: float | None = None
    """The same by nothing but the age."""
    path: str | None = None
    """Of the part's own wear, where that is what is told."""

    @property
    def words(self) -> str:
        if self.path is not None and self.rmse_hours is not None:
            return (
                f"remaining life by each part's path of wear ({self.path}), on {self.lives} lives"
                f" {self.rmse_hours / _HOURS_PER_DAY:.3g} days off"
            )
        if self.rmse_hours is None or self.rmse_age_hours is None:
            return "remaining life by the hazard alone"
        return (
            f"remaining life from {self.lives} lives, {self.rmse_hours / _HOURS_PER_DAY:.3g} days off"
            f" ({self.rmse_age_hours / _HOURS_PER_DAY:.3g} by age)"
        )


def life_told(model: ModeModel) -> LifeTold:
    """Sum up what a model has learned of remaining life."""
    if model.trend is not None:
        return LifeTold(
            lives=model.trend.lives, share=model.life_share, rmse_hours=model.trend.rmse_hours,
            path=model.trend.path,
        )  # fmt: skip
    if model.life is None:
        return LifeTold()
    return LifeTold(
        lives=model.life.lives, share=model.life_share, rmse_hours=model.life.rmse_hours,
        rmse_age_hours=model.life.rmse_age_hours,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One line of the list of models."""

    id: int
    failure_mode: str
    revision: int
    role: Role | None
    data_from: datetime
    """Event time."""
    data_through: datetime
    devices: int
    failures: int
    figures: dict[str, Any]
    code_version: str
    created_at: datetime

    @property
    def judged(self) -> int:
        """Failures in the stretch of time in which it was compared with what spoke."""
        return int(self.figures.get("events", 0))

    @property
    def life(self) -> LifeTold:
        """None was learned in models that were kept before it was."""
        return msgspec.convert(self.figures.get("life", {}), LifeTold)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All about one model but its parameters."""

    row: ModelRow
    product: str
    features: tuple[str, ...]
    seeds: tuple[int, ...]
    shadow_forecasts: int
    """That it made without speaking."""
    shadow_newest_at: datetime | None
    shadow_chance: float | None
    """Mean of its chances of failing within 30 days."""
    shadow_chance_said: float | None
    """Mean of what was said at the same moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvent:
    """Why a model came or went."""

    at: datetime
    failure_mode: str
    model_id: int | None
    """None: the first layer."""
    revision: int | None
    change: ModelChange
    reason: str
