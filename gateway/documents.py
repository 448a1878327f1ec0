"""JSON documents of devices: what may be in one, and how a change is merged into it. Pure."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from core.errors import InvalidError

Document: TypeAlias = Mapping[str, Any]

BYTES_MAX = 8192
"""Of an encoded document: what a small device can hold in memory, and far below a packet's limit."""
DEPTH_MAX = 5
KEY_MAX = 64
_INTEGER_MAX = 2**63 - 1


def merge(document: Document, patch: Document) -> dict[str, Any]:
    """Merge a patch key by key; null takes a key away (RFC 7396)."""
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: true is not 1, but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def check_document(document: Document, *, what: str, bytes_max: int = BYTES_MAX) -> None:
    """Refuse a document that is too large, too deep, or not storable.

    Raises
    ------
    InvalidError
        If so; the message names the place and the limit.
    """
    _check(document, place=what, depth=1)
    size = len(msgspec.json.encode(document))
    if size > bytes_max:
        raise InvalidError(
            f"{what} takes {size} bytes, and may take {bytes_max}",
            hint="a configuration is for settings; keep large data out of it",
        )


def _check(value: Any, *, place: str, depth: int) -> None:
    match value:
        case Mapping():
            _check_depth(place, depth)
            for key, inner in value.items():
                _check_key(key, place=place)
                _check(inner, place=f"{place}.{key}", depth=depth + 1)
        case list() | tuple():
            _check_depth(place, depth)
            for number, inner in enumerate(value):
                _check(inner, place=f"{place}[{number}]", depth=depth + 1)
        case _:
            _check_leaf(value, place=place)


def _check_leaf(value: Any, *, place: str) -> None:
    match value:
        case None | bool():
            return
        case str():
            _check_text(value, place=place)
        case int():
            if abs(value) > _INTEGER_MAX:
                raise InvalidError(f"{place} is a whole number beyond 64 bits")
        case float():
            if not math.isfinite(value):
                raise InvalidError(f"{place} is no finite number")
        case _:
            raise InvalidError(f"{place} is no JSON value: {type(value).__name__}")


def _check_depth(place: str, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidError(
            f"{place[:200]} lies deeper than {DEPTH_MAX} levels", hint="flatten the document"
        )


def _check_key(key: Any, *, place: str) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise InvalidError(
            f"{place} has a key that cannot be one: {str(key)[:80]!r}",
            hint=f"use 1 to {KEY_MAX} printable characters",
        )


def _check_text(text: str, *, place: str) -> None:
    # PostgreSQL stores no U+0000, and half of a surrogate pair is no text at all.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidError(f"{place} holds a character that cannot be stored")
