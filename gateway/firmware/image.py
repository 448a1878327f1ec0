"""Firmware images: what is signed, how an image is cut into pieces, keys and signatures. Pure."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import InvalidError

IMAGE_BYTES_MAX = 64 * 1024 * 1024
VERSION_MAX = 64
CHUNK_BYTES = 16_384
"""Fits four times into the broker's largest packet, and into the memory of a small device."""
_SIGNED_AS = b"forecare-firmware\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """A stored image, without its bytes."""

    id: int
    product: str
    version: str
    size_bytes: int
    chunk_bytes: int
    sha256: bytes
    signature: bytes
    public_key: bytes
    notes: str
    created_at: datetime
    created_by: str

    @property
    def chunks(self) -> int:
        return -(-self.size_bytes // self.chunk_bytes)

    @property
    def key_name(self) -> str:
        return key_name(self.public_key)


def signed_text(product: str, version: str, digest: bytes) -> bytes:
    """Return the bytes that the signature covers: an image of another product or version never fits."""
    return _SIGNED_AS + product.encode() + b"\0" + version.encode() + b"\0" + digest


def digest_of(image: bytes) -> bytes:
    return hashlib.sha256(image).digest()


def pieces(image: bytes, *, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Cut an image into pieces of one size; only the last one may be shorter."""
    return (image[start : start + size] for start in range(0, len(image), size))


def check_version(version: str) -> None:
    if (
        not 1 <= len(version) <= VERSION_MAX
        or not version.isprintable()
        or version.strip() != version
    ):
        raise InvalidError(
            f"{version!r} cannot be a firmware version",
            hint=f"give 1 to {VERSION_MAX} printable characters, as the device says them in its birth message",
        )


def check_image(image: bytes) -> None:
    if not image:
        raise InvalidError("the image is empty", hint="give the file that the device installs")
    if len(image) > IMAGE_BYTES_MAX:
        raise InvalidError(
            f"the image has {len(image):,} bytes, more than {IMAGE_BYTES_MAX:,}",
            hint="deliver a compressed or a partial image",
        )


def new_key() -> bytes:
    """Return a new private key as PEM text."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_private_key(pem: bytes, *, source: str) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    InvalidError
        If the text is no Ed25519 private key in PEM form.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(source, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(source, "private")
    return key


def read_public_key(pem: bytes, *, source: str) -> bytes:
    """Read a public key; returns its 32 bytes.

    Raises
    ------
    InvalidError
        If the text is no Ed25519 public key in PEM form.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise _no_key(source, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(source, "public")
    return key.public_bytes_raw()


def public_pem(public_key: bytes) -> str:
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def key_name(public_key: bytes) -> str:
    """Return the first digits of the key's digest, by which people tell keys apart."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def sign(key: Ed25519PrivateKey, *, product: str, version: str, image: bytes) -> bytes:
    return key.sign(signed_text(product, version, digest_of(image)))


def check_signature(
    signature: bytes, *, public_key: bytes, product: str, version: str, digest: bytes
) -> None:
    """Check a signature as a device would.

    Raises
    ------
    InvalidError
        If it does not fit the key, the product, the version and the image.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            signature, signed_text(product, version, digest)
        )
    except InvalidSignature as error:
        raise InvalidError(
            f"the signature does not fit {product} {version} and the key {key_name(public_key)}",
            hint="every device would refuse this image: sign exactly these bytes, this product and this"
            " version (docs/how-to/firmware-campaigns.md shows how)",
        ) from error


def read_signature(text: bytes) -> bytes:
    """Read a detached signature: 64 bytes, or their base64 or hex form."""
    if len(text) == 64:
        return text
    words = text.strip()
    for decode in (bytes.fromhex, lambda word: base64.b64decode(word, validate=True)):
        try:
            found = decode(words.decode())
        except (ValueError, UnicodeDecodeError):
            continue
        if len(found) == 64:
            return found
    raise InvalidError(
        "the signature file holds no Ed25519 signature",
        hint="it must hold 64 bytes, or their base64 or hex form",
    )


def _no_key(source: str, kind: str) -> InvalidError:
    return InvalidError(
        f"{source} holds no {kind} Ed25519 key",
        hint="`forecare firmware key init FILE` makes a pair: FILE and FILE.pub",
    )
