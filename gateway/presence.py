"""What birth and will messages say about a session, and which of their times can be believed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from core.product import Product, time_window
from core.units import to_epoch_ms
from gateway.desk import Incoming

_BYTES_MAX = 4096
_MS_MAX = 4_102_444_800_000  # the year 2100
_Boot = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Text = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00]*$")]


class _Birth(msgspec.Struct, frozen=True):
    boot: _Boot
    firmware: _Text = ""
    product: _Text = ""
    ts: Annotated[int, msgspec.Meta(ge=0, le=_MS_MAX)] | None = None


_decoder = msgspec.json.Decoder(_Birth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A session of a device began or ended. The boot number tells a late will from a new one."""

    device: str
    boot: int
    is_connected: bool
    firmware: str = ""
    at: datetime | None = None
    """When it was born by its own clock, event time; None: it did not say."""


def read_change(message: Incoming) -> Change | None:
    """Read a birth or will; None when it is neither."""
    if message.kind not in ("birth", "will") or len(message.payload) > _BYTES_MAX:
        return None
    try:
        birth = _decoder.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Change(
        device=message.device,
        boot=birth.boot,
        is_connected=message.kind == "birth",
        firmware=birth.firmware,
        at=None if birth.ts is None else datetime.fromtimestamp(birth.ts / 1000, UTC),
    )


def believed(
    at: datetime | None, *, device: str, products: Mapping[str, Product], now: datetime
) -> datetime | None:
    """Judge the time that a device told at its birth, as the times of its samples are judged.

    Parameters
    ----------
    at : datetime or None
        By its own clock.
    products : mapping
        By the device's name.
    now : datetime
        Time of arrival.

    Returns
    -------
    datetime or None
        None: it told none, or does not know it. Its newest stored sample then stands for it, which has the
        platform's time if the device's clock is off.
    """
    product = products.get(device)
    if at is None or product is None:
        return None
    oldest_ms, newest_ms = time_window(product, now_ms=to_epoch_ms(now))
    return at if oldest_ms <= to_epoch_ms(at) <= newest_ms else None
