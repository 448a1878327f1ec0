"""What crosses the borders inside training: frozen records with names. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from anomaly.learn.model import ModeModel

Role = Literal["champion", "shadow"]
ModelChange = Literal["trained", "refused", "shadowed", "promoted", "restored", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptModel:
    """A model as it is stored, ready to speak."""

    id: int
    failure_mode: str
    model: ModeModel


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
