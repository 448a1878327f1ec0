"""What others may ask of firmware images: add one, list them, say which device ran which version."""

from dataclasses import dataclass
from datetime import datetime

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Pool
from gateway import store as registry
from gateway.firmware import image as images
from gateway.firmware import store
from gateway.firmware.image import CHUNK_BYTES, Firmware
from gateway.firmware.store import VersionRow, VersionUse

_ROWS_MAX = 1_000
_NOTES_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareDraft:
    """An image to be added, already signed."""

    product: str
    version: str
    image: bytes
    signature: bytes
    public_key: bytes
    notes: str = ""
    is_new_key_wanted: bool = False
    """Take it although the product's newest image was signed with another key."""


def add_firmware(pool: Pool, draft: FirmwareDraft, *, by: str, now: datetime) -> Firmware:
    """Keep a signed image. Adding the same image again changes nothing.

    Raises
    ------
    InvalidError
        If the image, the version or the signature is none.
    ConflictError
        If the version exists with other content, or was signed with another key than the one before.
    NotFoundError
        If the product is not registered.
    """
    images.check_version(draft.version)
    images.check_image(draft.image)
    if len(draft.notes) > _NOTES_MAX:
        raise InvalidError("the notes are too long", hint=f"at most {_NOTES_MAX} characters")
    digest = images.digest_of(draft.image)
    images.check_signature(
        draft.signature,
        public_key=draft.public_key,
        product=draft.product,
        version=draft.version,
        digest=digest,
    )
    with pool.connection() as connection:
        found = registry.product_id(connection, draft.product)
        if found is None:
            raise NotFoundError(
                f'there is no product "{draft.product}"', hint="`forecare product list` shows them"
            )
        _check_key(store.newest_key(connection, found[0]), draft)
        firmware_id = store.insert_firmware(
            connection,
            product_id=found[0],
            version=draft.version,
            size_bytes=len(draft.image),
            chunk_bytes=CHUNK_BYTES,
            sha256=digest,
            signature=draft.signature,
            public_key=draft.public_key,
            notes=draft.notes,
            by=by,
            now=now,
        )
        if firmware_id is not None:
            store.insert_chunks(connection, firmware_id, images.pieces(draft.image))
        (kept,) = store.list_firmware(
            connection, product=draft.product, version=draft.version, limit=1
        )
    if kept.sha256 != digest:
        raise ConflictError(
            f"{draft.product} {draft.version} exists with other content"
            f" (sha256 {kept.sha256.hex()[:16]}…)",
            hint="a version never changes: give the new image a new version",
        )
    return kept


def firmware_list(pool: Pool, *, product: str | None = None) -> tuple[Firmware, ...]:
    with pool.connection() as connection:
        return store.list_firmware(connection, product=product, limit=_ROWS_MAX)


def firmware(pool: Pool, *, product: str, version: str) -> Firmware:
    """Return an image's record.

    Raises
    ------
    NotFoundError
        If there is no such version of the product.
    """
    with pool.connection() as connection:
        rows = store.list_firmware(connection, product=product, version=version, limit=1)
    if not rows:
        raise NotFoundError(
            f'there is no firmware {version} of product "{product}"',
            hint="`forecare firmware list` shows what there is; `forecare firmware add` adds one",
        )
    return rows[0]


def device_versions(pool: Pool, *, device: str, limit: int = 50) -> tuple[VersionRow, ...]:
    """Return the versions that a device has run, newest first."""
    with pool.connection() as connection:
        return store.device_versions(connection, device, limit=limit)


def versions_in_use(pool: Pool, *, product: str) -> tuple[VersionUse, ...]:
    """Return how many devices of a product run which version, the most used one first."""
    with pool.connection() as connection:
        return store.versions_in_use(connection, product)


def _check_key(before: tuple[bytes, str] | None, draft: FirmwareDraft) -> None:
    if before is None or draft.is_new_key_wanted or before[0] == draft.public_key:
        return
    raise ConflictError(
        f"{draft.product} {before[1]} was signed with the key {images.key_name(before[0])}, this image"
        f" with {images.key_name(draft.public_key)}",
        hint="devices that trust the old key refuse this image; --new-key takes it all the same",
    )
