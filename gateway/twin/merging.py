"""What a device is to have, what its report says about it, and where the two differ. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from core.errors import InvalidError
from gateway.desk import Incoming
from gateway.documents import Document, check_document, is_same, merge
from gateway.twin.records import Agreement, Entry, Layers, TwinRow

REPORTED_BYTES_MAX = 16_384
_LEAP_MAX = 1_000_000
_Version = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Report(msgspec.Struct, frozen=True):
    """What a device says that it has."""

    version: _Version | None = None
    reported: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A device's row after its report."""

    version: int
    reported: Document
    reported_version: int
    differs_at: datetime | None
    is_to_send: bool


_decoder = msgspec.json.Decoder(Report)


def read_report(message: Incoming) -> Report | None:
    """Read a `reported` message; None when it is none, or is more than may be stored."""
    if len(message.payload) > REPORTED_BYTES_MAX:
        return None
    try:
        report = _decoder.decode(message.payload)
        check_document(report.reported, what="reported", bytes_max=REPORTED_BYTES_MAX)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidError):
        return None
    return report


def desired_of(layers: Layers) -> dict[str, Any]:
    return merge(merge(layers.defaults, layers.product), layers.own)


def config_payload(version: int, desired: Document) -> bytes:
    return msgspec.json.encode({"version": version, "desired": desired})


def after_report(row: TwinRow, report: Report, *, now: datetime) -> Outcome:
    """Take a report in.

    A device may have applied a version that is not known here: the database was restored from a
    backup. Then ours goes beyond it, so that the device takes it for the newer one.

    Raises
    ------
    InvalidError
        If the reported document would grow beyond its limit.
    """
    reported = merge(row.reported, report.reported)
    check_document(reported, what="reported", bytes_max=REPORTED_BYTES_MAX)
    version, applied = row.version, row.reported_version
    if report.version is not None and report.version <= row.version + _LEAP_MAX:
        applied = report.version
        version = applied + 1 if applied > version else version
    is_confirmed = applied >= version
    has_all = is_confirmed and _agrees(desired_of(row.layers), reported)
    return Outcome(
        version=version,
        reported=reported,
        reported_version=applied,
        differs_at=None if has_all else (row.differs_at or now),
        is_to_send=not is_confirmed,
    )


def compare(desired: Document, reported: Document, *, is_confirmed: bool) -> tuple[Entry, ...]:
    """Return every key with what is wanted and what is there, in the order of their names."""
    return tuple(
        Entry(
            key=key,
            desired=desired.get(key),
            reported=reported.get(key),
            agreement=_agreement(key, desired, reported, is_confirmed=is_confirmed),
        )
        for key in sorted(desired.keys() | reported.keys())
    )


def _agreement(key: str, desired: Document, reported: Document, *, is_confirmed: bool) -> Agreement:
    if key not in desired:
        return "only_reported"
    if key not in reported:
        return "taken" if is_confirmed else "waiting"
    if is_same(desired[key], reported[key]):
        return "same"
    return "differs" if is_confirmed else "waiting"


def _agrees(desired: Document, reported: Document) -> bool:
    """Whether nothing that the device reports contradicts what is wanted."""
    for key, wanted in desired.items():
        if key not in reported:
            continue
        has = reported[key]
        if isinstance(wanted, Mapping) and isinstance(has, Mapping):
            if not _agrees(wanted, has):
                return False
        elif not is_same(wanted, has):
            return False
    return True
