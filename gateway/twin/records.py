"""What the configuration of a device is, as others see it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gateway.documents import Document

Agreement = Literal["same", "taken", "waiting", "differs", "only_reported"]
"""same: reported as desired. taken: not reported, but its version is confirmed. waiting: not
confirmed yet. differs: the version is confirmed, or the device said so on its own, and it has
something else. only_reported: nobody has asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Where the desired document of a device comes from; each goes over the one before."""

    defaults: Document
    """Of the product sheet."""
    product: Document
    """Set for the product."""
    own: Document
    """Set for this device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One top-level key of a configuration."""

    key: str
    desired: Any
    reported: Any
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    device: str
    version: int
    """Of the desired document; counts every change, and is what a change may expect."""
    desired: Document
    own: Document
    reported: Document
    reported_version: int
    reported_at: datetime | None
    differs_at: datetime | None
    """Since when the device has something else than it is to have; None: they agree."""
    sent_at: datetime | None
    tries: int
    entries: tuple[Entry, ...]

    @property
    def is_confirmed(self) -> bool:
        return self.reported_version >= self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductConfiguration:
    product: str
    version: int
    defaults: Document
    """Of the product sheet."""
    desired: Document
    """Set for the product, over the sheet's."""
    differing: int
    """Devices that have something else than they are to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of the history."""

    id: int
    is_of_product: bool
    version: int
    patch: Document
    actor: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRow:
    """A device's row together with the layers of its product."""

    device_id: int
    device: str
    shard: int
    version: int
    defaults: Document
    product: Document
    own: Document
    reported: Document
    reported_version: int
    reported_at: datetime | None
    differs_at: datetime | None
    sent_at: datetime | None
    tries: int

    @property
    def layers(self) -> Layers:
        return Layers(defaults=self.defaults, product=self.product, own=self.own)
