"""Reads the long form of Forecare's own JSON straight into the columns of one product. Pure.

The quick way beside `decode`: the metric names are known beforehand, so no dictionary is built and
no name is kept. It is a filter and no judge: whatever it does not take goes to `decode`, which
accepts it or says why not. Two things are left to the caller, who looks at a whole batch at once:
that no key stands twice (`quotes`), and that `low` is not beyond `seq`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import msgspec

from gateway.codecs.native import Counter, Timestamp

ABSENT = -1
"""`boot`, `seq` or `low` of a message that has none."""
NOT_TAKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""What the reader raises for a payload that it leaves to `decode`."""


class TypedMessage(Protocol):
    """What a reader makes of one payload."""

    samples: list[tuple[int, Any]]
    """Milliseconds since 1970, and a struct of the values of that instant in the order of the
    reader's names: `msgspec.structs.astuple` opens it. NaN, which JSON cannot write, is a metric
    that the sample does not have."""
    boot: int
    seq: int
    low: int


Reader = Callable[[bytes], TypedMessage]


def typed_reader(names: Sequence[str]) -> Reader:
    """Return the reader for a product with these metrics.

    It raises one of NOT_TAKEN for every payload that is not of the long form or names another
    metric.
    """
    fields = [f"m{i}" for i in range(len(names))]
    sample = msgspec.defstruct(
        "TypedSample",
        [(field, float | bool, math.nan) for field in fields],
        rename=dict(zip(fields, names, strict=True)),
        forbid_unknown_fields=True,
        gc=False,
    )
    message = msgspec.defstruct(
        "TypedMessage",
        [
            ("samples", list[tuple[Timestamp, sample]]),  # type: ignore[valid-type]
            ("boot", Counter, ABSENT),
            ("seq", Counter, ABSENT),
            ("low", Counter, ABSENT),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
    return cast(Reader, msgspec.json.Decoder(message).decode)


def quotes(payload: bytes) -> int:
    """Count the quotation marks: two for each key that was taken, or a key stands twice."""
    return payload.count(b'"')
