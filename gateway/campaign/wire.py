"""What a campaign and a device say to each other (docs/reference/wire-format.md). Pure."""

import base64
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from gateway.campaign.member import Member, State, Told
from gateway.desk import Incoming, Outgoing
from gateway.firmware.image import Firmware

CHUNKS_MAX = 8
"""Pieces that one question brings at most: what is on the way to a device at a time."""
_BYTES_MAX = 2_048
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Error = Annotated[str, msgspec.Meta(max_length=1_000, pattern=r"^[^\x00]*$")]


class _Fetch(msgspec.Struct, frozen=True):
    campaign: _Number
    chunk: _Number
    count: _Number = 1


class _Progress(msgspec.Struct, frozen=True):
    campaign: _Number
    state: Literal["downloading", "downloaded", "verified", "installing", "installed", "failed"]
    chunk: _Number | None = None
    error: _Error = ""


_fetch = msgspec.json.Decoder(_Fetch)
_progress = msgspec.json.Decoder(_Progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A device asks for `count` pieces from `chunk` on."""

    campaign_id: int
    chunk: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    campaign_id: int
    told: Told


def read_fetch(message: Incoming) -> Fetch | None:
    """Read a question; None when it is none."""
    if len(message.payload) > _BYTES_MAX:
        return None
    try:
        found = _fetch.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    count = min(max(1, found.count), CHUNKS_MAX)
    return Fetch(campaign_id=found.campaign, chunk=found.chunk, count=count)


def read_progress(message: Incoming) -> Progress | None:
    """Read a progress message; None when it is none."""
    if len(message.payload) > _BYTES_MAX:
        return None
    try:
        found = _progress.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    told = Told(state=State(found.state), chunk=found.chunk, error=found.error)
    return Progress(campaign_id=found.campaign, told=told)


def offer(member: Member, firmware: Firmware) -> Outgoing:
    message = {
        "campaign": member.campaign_id,
        "version": firmware.version,
        "size": firmware.size_bytes,
        "sha256": firmware.sha256.hex(),
        "signature": base64.b64encode(firmware.signature).decode(),
        "chunk_bytes": firmware.chunk_bytes,
    }
    return _to(member, msgspec.json.encode(message))


def withdrawal(member: Member) -> Outgoing:
    return _to(member, msgspec.json.encode({"campaign": member.campaign_id, "cancelled": True}))


def unknown_withdrawal(message: Incoming, campaign_id: int) -> Outgoing:
    """Tell a device that it is in no such campaign, so that it stops asking."""
    payload = msgspec.json.encode({"campaign": campaign_id, "cancelled": True})
    return Outgoing(device=message.device, shard=message.shard, kind="firmware", payload=payload)


def piece(device: str, shard: int, *, campaign_id: int, number: int, data: bytes) -> Outgoing:
    """4 bytes campaign, 4 bytes number of the piece, both big-endian, then the bytes."""
    head = campaign_id.to_bytes(4, "big") + number.to_bytes(4, "big")
    return Outgoing(device=device, shard=shard, kind="chunk", payload=head + data)


def _to(member: Member, payload: bytes) -> Outgoing:
    return Outgoing(device=member.device, shard=member.shard, kind="firmware", payload=payload)
