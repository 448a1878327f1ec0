"""Arrays inside stored records: dtype, shape and bytes, nothing that can run. Pure."""

import zlib
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Kind = Literal["<f8", "<i8", "<i4", "<i2", "|u1"]
"""Kinds of numbers that are kept; no objects."""


class Packed(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An array that survives JSON and MessagePack to the bit."""

    kind: Kind
    shape: tuple[int, ...]
    deflated: bytes

    @classmethod
    def of(cls, array: NDArray[Any], kind: Kind) -> "Packed":
        plain = np.ascontiguousarray(array, dtype=np.dtype(kind))
        return cls(kind=kind, shape=plain.shape, deflated=zlib.compress(plain.tobytes(), 6))

    @cached_property
    def array(self) -> NDArray[Any]:
        flat = np.frombuffer(zlib.decompress(self.deflated), dtype=np.dtype(self.kind))
        return flat.reshape(self.shape)
