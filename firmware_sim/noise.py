"""Randomness that can be asked for any instant in any order: the same seed gives the same values.

A run that is killed and goes on, or that is generated in other blocks, must produce the very same
samples. So noise is a function of (key, place), never of how often somebody has drawn before. Pure.
"""

import zlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

CHUNK_STEPS = 360
"""Fast noise is drawn for whole chunks of so many steps, on the grid of epoch seconds."""

_SIXTEEN, _TURNS = np.uint64(16), np.arange(12, dtype=np.uint64)
_GOLDEN, _MIX_1, _MIX_2 = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)


def key_of(*parts: object) -> int:
    """Mix names and numbers into a key of 32 bits that stays the same on every machine."""
    return zlib.crc32("/".join(str(part) for part in parts).encode())


def white_noise(key: int, *, start_s: int, count: int, step_s: int, streams: int) -> FloatArray:
    """Draw independent standard normal values.

    Parameters
    ----------
    key : int
        Names the source.
    start_s : int
        First instant, seconds since 1970, on the grid of `step_s`.
    count, step_s : int
        Number of instants and their distance.
    streams : int
        Number of independent rows.

    Returns
    -------
    ndarray of float64, shape (streams, count)
    """
    first, skip = divmod(start_s // step_s, CHUNK_STEPS)
    last = (start_s // step_s + count - 1) // CHUNK_STEPS
    drawn = [
        np.random.default_rng([key, chunk, step_s]).standard_normal(
            (streams, CHUNK_STEPS), dtype=np.float32
        )
        for chunk in range(first, last + 1)
    ]
    return np.concatenate(drawn, axis=1)[:, skip : skip + count].astype(np.float64)


def slow_noise(key: int, at_s: IntArray, *, period_s: int) -> FloatArray:
    """Smooth values of unit spread that wander with knots every `period_s` seconds."""
    first = int(at_s[0]) // period_s
    knots = np.arange(first - 1, int(at_s[-1]) // period_s + 3)
    values = _normal(key, knots)
    place = at_s / period_s - (first - 1)
    left = place.astype(np.int64)
    part = place - left
    blend = part * part * (3 - 2 * part)
    # Blending two independent values shrinks their spread between the knots; this undoes it.
    width = np.sqrt(blend**2 + (1 - blend) ** 2)
    return np.asarray(((1 - blend) * values[left] + blend * values[left + 1]) / width)


def steps(key: int, at_s: IntArray, *, period_s: int) -> FloatArray:
    """Values of unit spread that stay for `period_s` seconds, then jump: people turning knobs."""
    first = int(at_s[0]) // period_s
    values = _normal(key, np.arange(first, int(at_s[-1]) // period_s + 1))
    return np.asarray(values[at_s // period_s - first])


def _normal(key: int, places: IntArray) -> FloatArray:
    """Hash places to nearly normal values: the sum of twelve uniform ones (splitmix64)."""
    bits = places.astype(np.uint64)[:, None] * _SIXTEEN + _TURNS + np.uint64(key << 32)
    with np.errstate(over="ignore"):
        bits = bits * _GOLDEN
        bits = (bits ^ (bits >> _SHIFT_1)) * _MIX_1
        bits = (bits ^ (bits >> _SHIFT_2)) * _MIX_2
    bits ^= bits >> _SHIFT_3
    return np.asarray(bits.sum(axis=1, dtype=np.float64) / 2**64 - 6)
