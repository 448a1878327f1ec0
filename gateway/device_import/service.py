"""Brings a list of devices in: what is there already is skipped, the rest comes in whole or not at all."""

import csv
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg.rows import class_row

from core.errors import ConflictError, InvalidError
from core.pool import Pool
from core.sql import Queries
from gateway import service
from gateway.device_import.table import Fault, Row
from gateway.records import DeviceCredential

_FAULTS_SHOWN = 50
_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A device that is registered already."""

    name: str
    serial: str
    product: str
    lot: str
    delivered_at: datetime | None
    owner_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    added: int
    skipped: tuple[str, ...]
    """Names that were there already with the same values; they keep their credentials."""


def sort_out(
    rows: Sequence[Row], known: Sequence[Known], *, product: str
) -> tuple[list[Row], list[str], list[Fault]]:
    """Tell what is new from what is there already and from what contradicts it. Pure."""
    by_name = {device.name: device for device in known}
    by_serial = {device.serial: device for device in known if device.product == product}
    new: list[Row] = []
    same: list[str] = []
    faults: list[Fault] = []
    for row in rows:
        draft = row.draft
        device = by_name.get(draft.name)
        holder = by_serial.get(draft.serial)
        if device is None and holder is None:
            new.append(row)
            continue
        if device is None:
            assert holder is not None
            problem = f"serial number {draft.serial!r} belongs to device {holder.name}"
            faults.append(_contradiction(row, "serial", problem))
            continue
        different = [
            (column, there)
            for column, here, there in (
                ("product", product, device.product),
                ("serial", draft.serial, device.serial),
                ("lot", draft.lot, device.lot),
                ("delivered", draft.delivered_at, device.delivered_at),
            )
            if here != there
        ]
        if draft.owner and draft.owner.email.lower() != device.owner_email:
            different.append(("owner_email", device.owner_email or "nobody"))
        faults += [
            _contradiction(row, column, f"{draft.name} is registered with {there}")
            for column, there in different
        ]
        if not different:
            same.append(draft.name)
    return new, same, faults


def raise_faults(faults: Sequence[Fault], *, source: str) -> None:
    """Raise one error that names them all (the first 50), if there are any."""
    if not faults:
        return
    shown = "\n".join(f"  {fault}" for fault in sorted(faults, key=_place)[:_FAULTS_SHOWN])
    more = len(faults) - _FAULTS_SHOWN
    rest = f"\n  and {more} more" if more > 0 else ""
    raise InvalidError(
        f"{source}: {len(faults)} faults, so no device was let in\n{shown}{rest}",
        hint="mend these and run it again; rows that are registered already are skipped",
    )


def import_devices(  # noqa: PLR0913 - what, where to, and who watches
    pool: Pool,
    rows: Sequence[Row],
    *,
    product: str,
    source: str,
    output: Path | None,
    now: datetime,
    on_row: Callable[[int], None] | None = None,
) -> Imported:
    """Register what is new, and write its credentials to a file that only its owner can read.

    The file is complete on the disk before the devices are: after a crash in between it stands
    beside its place as `….part`, and holds credentials of devices that may or may not exist.

    Parameters
    ----------
    output : Path, optional
        None: the devices get no credential; they come for it at their first contact.

    Raises
    ------
    InvalidError
        If rows contradict what is registered; names all of them.
    ConflictError
        If the file is there already.
    """
    with pool.connection() as connection, connection.cursor(row_factory=class_row(Known)) as cursor:
        wanted = {
            "names": [row.draft.name for row in rows],
            "serials": [row.draft.serial for row in rows],
            "product": product,
        }
        known = cursor.execute(_queries["known_devices"], wanted).fetchall()
    new, same, faults = sort_out(rows, known, product=product)
    raise_faults(faults, source=source)
    if new and output is not None:
        _require_absent(output)
    draft = output.with_name(f"{output.name}.part") if output else None
    service.add_devices(
        pool,
        product=product,
        drafts=[row.draft for row in new],
        now=now,
        has_credentials=draft is not None,
        on_row=on_row,
        before_commit=(lambda given: _write(draft, given)) if new and draft else None,
    )
    if new and draft is not None and output is not None:
        draft.replace(output)
    return Imported(added=len(new), skipped=tuple(same))


def _require_absent(output: Path) -> None:
    for file in (output, output.with_name(f"{output.name}.part")):
        if file.exists():
            raise ConflictError(
                f"{file} exists, and may hold the only copy of credentials",
                hint="move it to a safe place, or name another file with --output",
            )


def _write(file: Path, credentials: Sequence[DeviceCredential]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "shard", "user", "password"))
    writer.writerows((c.name, c.shard, c.user, c.password) for c in credentials)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text.getvalue())
        stream.flush()
        os.fsync(stream.fileno())


def _contradiction(row: Row, column: str, problem: str) -> Fault:
    return Fault(
        line=row.line, column=column, problem=problem, remedy="correct the row or take it out"
    )


def _place(fault: Fault) -> tuple[int, str]:
    return fault.line, fault.column
