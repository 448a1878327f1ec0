"""What a device says at its first contact, and what it is told. Pure."""

from typing import Annotated

import msgspec

from core.errors import InvalidError

REQUEST_BYTES_MAX = 2048
_Text = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Filled = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Nonce = Annotated[str, msgspec.Meta(min_length=32, max_length=200)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A device asks for its credential."""

    product: _Filled
    key: _Filled
    secret: _Filled
    serial: _Filled
    nonce: _Nonce | None = None
    """Made by the device at random, kept by it, and told to nobody else. Without one its client id
    takes this place."""
    firmware: _Text = ""
    lot: _Text = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    shard: str
    user: str
    password: str
    mqtt_url: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    error: str
    """Why, in a word that programs can read: `Reason` in decide.py names them all."""
    hint: str
    retry_after_s: int = 0
    """0: asking again in the same way will not help."""


_decoder = msgspec.json.Decoder(Request)


def read_request(payload: bytes) -> Request:
    """Read a request.

    Raises
    ------
    InvalidError
        If it is none; the message says which field.
    """
    if len(payload) > REQUEST_BYTES_MAX:
        raise InvalidError(f"the request has more than {REQUEST_BYTES_MAX} bytes")
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"the request cannot be read: {error}") from error
