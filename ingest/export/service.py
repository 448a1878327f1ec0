"""Streams samples and rollups as CSV (as Parquet: `parquet`), in memory that does not grow with them.

Each device is one statement, and sees the database as it is when its turn comes: what arrives
meanwhile may or may not be in the file.
"""

from collections.abc import Callable, Iterator, Sequence

from core.errors import ConflictError, NotFoundError
from core.pool import Connection
from ingest.export import store
from ingest.export.request import Request, Resolution, heading
from ingest.export.store import ExportedDevice

_CSV_BLOCK_BYTES = 64 * 1024

OnDevice = Callable[[int], None]
"""Is told how many devices are done."""


def devices_of(
    connection: Connection, request: Request, names: Sequence[str] | None = None
) -> list[ExportedDevice]:
    """Return the devices of an export, by name; no names are all of them.

    Raises
    ------
    NotFoundError
        If the product has no device of one of the names.
    ConflictError
        If rollups are asked for that nobody has summed up yet.
    """
    if request.resolution is not Resolution.RAW and not store.has_table(connection, request):
        raise ConflictError(
            f"nothing of {request.product.name} has been summed up yet",
            hint="`forecare ingest roll --once` does it; or export --resolution raw",
        )
    devices = store.exported_devices(connection, request.product.name, names)
    missing = set(names or ()) - {device.name for device in devices}
    if missing:
        raise NotFoundError(
            f"{request.product.name} has no device {', '.join(sorted(missing))}",
            hint=f"`forecare device list --product {request.product.name}` shows them",
        )
    return devices


def stream_csv(
    connection: Connection,
    request: Request,
    devices: Sequence[ExportedDevice],
    *,
    on_device: OnDevice = lambda _: None,
) -> Iterator[bytes]:
    """Yield a CSV file (RFC 4180, UTF-8) in blocks: a line per device and instant, units in the heading."""
    pending = bytearray(heading(request).encode())
    for number, device in enumerate(devices, start=1):
        for part in store.csv_rows(connection, request, device):
            pending += part
            if len(pending) >= _CSV_BLOCK_BYTES:
                yield bytes(pending)
                pending.clear()
        on_device(number)
    yield bytes(pending)
