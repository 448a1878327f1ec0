"""Reads the long form of Forecare's own JSON straight into the columns of one product. Pure.

The quick way beside `decode`: the metric names are known beforehand, so no dictionary is built and
no name is kept. It is a filter and no judge: whatever it does not take goes to `decode`, which
accepts it or says why not. Two things are left to the caller, who looks at a whole batch at once:
that no key stands twice (`quotes`), and that `low` is not beyond `seq`.

What was read becomes arrays without a step per value: msgspec writes the samples down as MessagePack,
in which every sample of one product has the same length, and NumPy reads that as a table.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from gateway.codecs.native import Counter, Timestamp

ABSENT = -1
"""`boot`, `seq` or `low` of a message that has none."""
LAID_AT_ONCE_MAX = 0xFFFF
"""Samples: beyond it MessagePack begins a list with more than three bytes."""
_SHORT_LIST_MAX = 15
_QUOTE = ord('"')
_BYTES_LARGE = 2048
"""From here on counting with NumPy is quicker."""
_PROBE_MS = 1 << 40
_NUMBER = struct.Struct(">Bd")
_INSTANT = struct.Struct(">BQ")
_IS_NUMBER, _IS_INSTANT = 0xCB, 0xCF
"""How MessagePack begins a float64 and an integer of eight bytes."""
NOT_TAKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
"""What the reader raises for a payload that it leaves to `decode`."""


class TypedMessage(Protocol):
    """What a reader makes of one payload."""

    samples: list[tuple[int, Any]]
    """Milliseconds since 1970, and a struct of the values of that instant in the order of the
    reader's names: `TypedForm` lays it into a table. NaN, which JSON cannot write, is a metric
    that the sample does not have."""
    boot: int
    seq: int
    low: int


Reader = Callable[[bytes], TypedMessage]


class TypedForm:
    """Reads messages of a product with these metrics, and lays their samples into a table.

    Parameters
    ----------
    names : sequence of str
        Of the metrics, at least one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._fields = [f"m{i}" for i in range(len(names))]
        self._sample: type[Any] = msgspec.defstruct(
            "TypedSample",
            [(field, float | bool, math.nan) for field in self._fields],
            rename=dict(zip(self._fields, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._field_of = dict(zip(names, self._fields, strict=True))
        self.read: Reader = _reader(self._sample)
        """Raises one of NOT_TAKEN for every payload that is not of the long form or names another
        metric."""
        self._encoder = msgspec.msgpack.Encoder()
        self._row = self._row_type()

    def sample(self, values: Mapping[str, float | bool]) -> object:
        """Return values by metric name as `read` would."""
        return self._sample(**{self._field_of[name]: value for name, value in values.items()})

    def lay(
        self, samples: Sequence[tuple[int, Any]], table: bytearray, *, scratch: bytearray
    ) -> None:
        """Append samples, at most LAID_AT_ONCE_MAX, to a table; what `scratch` holds is lost."""
        self._encoder.encode_into(samples, scratch)
        head = 1 if len(samples) <= _SHORT_LIST_MAX else 3
        # No sample is longer than the row; one with a bool or an instant near 1970 is shorter.
        if len(scratch) == head + len(samples) * self._row.itemsize:
            table += memoryview(scratch)[head:]
        else:
            table += self._laid_by_hand(samples)

    def arrays(self, table: bytearray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what was laid into a table, which must not grow any more.

        Returns
        -------
        times_ms : ndarray of int64, shape (n_samples,)
        values : ndarray of float64, shape (n_metrics, n_samples)
        """
        rows = np.frombuffer(table, dtype=self._row)
        values = np.empty((len(self._fields), len(rows)))
        for i, field in enumerate(self._fields):
            values[i] = rows[field]
        return rows["at"].astype(np.int64), values

    def _row_type(self) -> np.dtype[np.void]:
        """Find out where MessagePack puts what, by looking at a sample of known numbers."""
        known = [i + 0.5 for i in range(len(self._fields))]
        row = self._encoder.encode([(_PROBE_MS, self._sample(*known))])[1:]
        places = [row.index(_INSTANT.pack(_IS_INSTANT, _PROBE_MS)) + 1]
        places += [row.index(_NUMBER.pack(_IS_NUMBER, value)) + 1 for value in known]
        return np.dtype(
            {
                "names": ["at", *self._fields],
                "formats": [">i8"] + [">f8"] * len(known),
                "offsets": places,
                "itemsize": len(row),
            }
        )

    def _laid_by_hand(self, samples: Sequence[tuple[int, Any]]) -> bytes:
        rows = np.zeros(len(samples), dtype=self._row)
        rows["at"] = [at_ms for at_ms, _ in samples]
        columns = zip(*(astuple(values) for _, values in samples), strict=True)
        for field, column in zip(self._fields, columns, strict=True):
            rows[field] = column
        return rows.tobytes()


def _reader(sample: type[Any]) -> Reader:
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
    if len(payload) < _BYTES_LARGE:
        return payload.count(b'"')
    return int(np.count_nonzero(np.frombuffer(payload, dtype=np.uint8) == _QUOTE))
