"""What crosses the gateway's border: drafts in, registered things and credentials out. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerDraft:
    """An owner as a dealer or a form names them; known again by the e-mail address."""

    name: str
    email: str
    phone: str = ""
    locale: str = "en"
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDraft:
    """Where a device stands."""

    name: str = ""
    address: str = ""
    city: str = ""
    timezone: str = "UTC"
    latitude: float | None = None
    longitude: float | None = None
    access_note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDraft:
    """A device to be let in. `name` becomes its MQTT user name and client id."""

    name: str
    serial: str
    lot: str = ""
    firmware: str = ""
    delivered_at: datetime | None = None
    owner: OwnerDraft | None = None
    site: SiteDraft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCredential:
    """What a device needs to connect. The password is shown once and kept nowhere."""

    name: str
    shard: str
    """Two hex digits, the second level of its topics."""
    user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredProduct:
    id: int
    name: str
    revision: int
    is_new: bool
    added_metrics: tuple[str, ...]
    """Columns that this registration added to the product's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    id: int
    name: str
    title: str
    manufacturer: str
    revision: int
    metrics: int
    failure_modes: int
    devices: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    id: int
    name: str
    product: str
    serial: str
    lot: str
    firmware: str
    shard: int
    owner_email: str | None
    delivered_at: datetime | None
    warranty_until: datetime | None
    revoked_at: datetime | None
    retired_at: datetime | None
    is_connected: bool | None
    """None: it has never said that it is there."""
    samples: int
    """Stored since it was let in, repeats included."""
    measured_through: datetime | None
    received_at: datetime | None
    """When samples of it arrived last, wall time."""
    reporting_until: datetime | None
    """When it will be silent, by its product's sheet, if nothing more arrives."""

    def is_reporting(self, now: datetime) -> bool:
        return self.reporting_until is not None and now < self.reporting_until


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerUser:
    """One line of the broker's password file."""

    name: str
    password_hash: str
