"""Changes of a document as people write them: `target_c=21.5 heating.curve=2`. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from core.errors import InvalidError


def parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` words: dots lead into a document, a value is JSON or else a text.

    Raises
    ------
    InvalidError
        If a word has no `=`, or two of them contradict each other.
    """
    document: dict[str, Any] = {}
    for pair in pairs:
        path, separator, text = pair.partition("=")
        if not separator or not all(path.split(".")):
            raise InvalidError(
                f"{pair!r} is no key=value", hint="write target_c=21.5, or heating.curve=2"
            )
        _put(document, path.split("."), _value(text), pair=pair)
    return document


def without(keys: Sequence[str]) -> dict[str, Any]:
    """Build the patch that takes keys away. Pure."""
    document: dict[str, Any] = {}
    for key in keys:
        _put(document, key.split("."), None, pair=key)
    return document


def _put(document: dict[str, Any], path: Sequence[str], value: Any, *, pair: str) -> None:
    *above, last = path
    place: Any = document
    for key in above:
        place = place.setdefault(key, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last in place:
        raise InvalidError(f"{pair!r} contradicts what stands before it", hint="name a key once")
    place[last] = value


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
