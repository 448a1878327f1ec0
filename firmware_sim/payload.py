"""From arrays to telemetry messages: rows, sizes, the envelope. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from firmware_sim.errors import SimulatorError
from firmware_sim.noise import FloatArray, IntArray

MESSAGE_BYTES_MAX = 65_536
MESSAGE_SAMPLES_MAX = 1000
_ENVELOPE_BYTES_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The samples of one message, encoded: a JSON list."""

    samples: int
    encoded: bytes


def rows_of(
    measured_at_ms: IntArray,
    metrics: Mapping[str, FloatArray],
    *,
    whole: frozenset[str] = frozenset(),
) -> list[list[object]]:
    """Turn arrays into `[ms, {metric: value}]` rows; a NaN leaves its metric out.

    Metrics named in `whole` are written as whole numbers.
    """
    names = list(metrics)
    has_gaps = any(bool(np.isnan(array).any()) for array in metrics.values())
    columns = [
        array.astype(np.int64).tolist() if name in whole and not has_gaps else array.tolist()
        for name, array in metrics.items()
    ]
    moments = measured_at_ms.tolist()
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if has_gaps:
        rows = [{name: v for name, v in row.items() if v == v} for row in rows]  # noqa: PLR0124 - NaN
    return [[ms, row] for ms, row in zip(moments, rows, strict=True)]


def make_bodies(
    rows: Sequence[object], *, bytes_max: int = MESSAGE_BYTES_MAX - _ENVELOPE_BYTES_MAX
) -> list[Body]:
    """Encode rows into as few messages as their size allows, of about equal length.

    Raises
    ------
    SimulatorError
        If a single sample is larger than a message may be.
    """
    if not rows:
        return []
    sample_bytes = len(orjson.dumps(rows[0])) + 1
    parts = max(1, round(len(rows) * sample_bytes / bytes_max + 0.5))
    if parts == 1 and len(rows) <= MESSAGE_SAMPLES_MAX:
        encoded = orjson.dumps(rows)
        if len(encoded) <= bytes_max:
            return [Body(samples=len(rows), encoded=encoded)]
    if len(rows) == 1:
        raise SimulatorError(
            f"one sample takes {sample_bytes} bytes; a message may have {bytes_max}",
            hint="send fewer metrics a sample",
        )
    parts = max(2, parts)
    each = min(-(-len(rows) // parts), MESSAGE_SAMPLES_MAX)
    return [
        body
        for begin in range(0, len(rows), each)
        for body in make_bodies(rows[begin : begin + each], bytes_max=bytes_max)
    ]


def compose(body: bytes, *, boot: int, seq: int, low: int) -> bytes:
    """Put the envelope round the samples; `low` is the only part that changes from send to send."""
    return b'{"boot":%d,"seq":%d,"low":%d,"samples":%s}' % (boot, seq, low, body)
