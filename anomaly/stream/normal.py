"""What is normal for each device, learned from its own first time. Pure; all devices at once.

Per metric: a level, how quickly that level wanders, and how far smoothed values stray from it. Where the
metrics are redundant, also how they hang together. Arrays have the shape (devices, metrics), with the
speeds of smoothing in front.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtri

from anomaly.records import BoolArray, FloatArray
from anomaly.stream.quality import still_windows

SPEEDS = (8.0,)
"""Time constants of the smoothed deviations of single metrics, windows: docs/decisions/0025-*.md."""
INDEPENDENT = (2 * SPEEDS[0] - 1) ** 0.5
"""Spread of independent values that give a smoothed one a spread of 1."""
JOINT_SPEEDS = (1.0, 8.0)
"""The same where metrics are taken together; the first are single windows."""
SPEEDS_FIRST = ("spread", "freedom", "precision", "joint_scale", "joint_freedom", "smooth")
"""Arrays with speeds in front of devices."""
JOINT = ("is_joint", "precision", "joint_scale", "joint_freedom")
"""Arrays that tell how metrics hang together."""
_ALL = np.array(SPEEDS + JOINT_SPEEDS)[:, None, None]
_SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
"""Time constants a reference may have, as shares of the learning time."""
_AHEAD = 5 * SPEEDS[0]
"""A reference is judged by how well it tells the value so many windows later."""
_AS_GOOD = 1.03
_CLIP = 60.0
"""Deviations are cut off at so many spreads of single windows: one wild value is no more than wild."""
_RELATIVE_FLOOR = 0.0005
_FREEDOM_MIN = 3.0
_REDUNDANT_R2, _REDUNDANT_SHARE = 0.75, 0.25
"""Metrics are taken together where a quarter of them is told by the others to half of its spread."""
_RIDGE = 0.01
_BLOCKS = 5
_FREEDOMS = np.array([1.0, 1.5, 2, 3, 4, 6, 8, 12, 20, 50, 200])


@dataclass(slots=True, kw_only=True)
class Normal:
    """Learned, and fixed from then on."""

    middle: FloatArray
    """(devices, metrics); NaN for a metric that was never seen: nothing is claimed of it."""
    scale: FloatArray
    """Spread of single windows: values are counted in it; (devices, metrics)."""
    patience: FloatArray
    """Time constant of the reference, windows; short where the level wanders; (devices, metrics)."""
    still: FloatArray
    """Windows of one and the same value that a living sensor does not show; (devices, metrics)."""
    spread: FloatArray
    """Of the smoothed deviation, in `scale`; (speeds, devices, metrics)."""
    freedom: FloatArray
    """Independent values behind `spread`; (speeds, devices, metrics)."""
    is_joint: FloatArray
    """1 where metrics are redundant enough to be taken together; (devices,)."""
    precision: FloatArray
    """Inverse of the correlations; (joint speeds, devices, metrics, metrics), empty where nobody is joint."""
    joint_scale: FloatArray
    joint_freedom: FloatArray
    """Size and heaviness of the squared distance in calm time; (joint speeds, devices)."""


@dataclass(slots=True, kw_only=True)
class Moving:
    """Moves with every window."""

    reference: FloatArray
    """What each metric should be now, in `scale` from `middle`; (devices, metrics)."""
    smooth: FloatArray
    """Smoothed deviation from it; (speeds, devices, metrics)."""
    held: FloatArray
    """For how many windows more than calm ones each metric has stood out; (devices, metrics)."""
    high: FloatArray
    low: FloatArray
    """Cumulative sums of what lies above and below, beyond what calm data do; (devices, metrics)."""
    last: FloatArray
    """Newest value, in the metric's unit; (devices, metrics)."""
    same: FloatArray
    """For how many windows it has not moved; (devices, metrics)."""
    far: FloatArray
    """Values far off at the end, 2 at most; (devices, metrics)."""
    spikes: FloatArray
    """Lone values far off, those of long ago counting less; (devices, metrics)."""
    unit: FloatArray
    """Place in `quality.CONVERSIONS`, plus 1, of the unit that it seems to be told in; (devices, metrics)."""


def at_rest(reference: FloatArray) -> Moving:
    """Begin at a reference, with nothing noticed; shape (devices, metrics)."""
    shape = reference.shape
    names = ("held", "high", "low", "same", "far", "spikes", "unit")
    nothing = {name: np.zeros(shape) for name in names}
    smooth = np.zeros((len(_ALL), *shape))
    return Moving(reference=reference, smooth=smooth, last=np.full(shape, np.nan), **nothing)


def learn(values: FloatArray) -> tuple[Normal, Moving]:
    """Learn from the first windows of devices.

    Parameters
    ----------
    values : ndarray of float64, shape (windows, devices, metrics)
        NaN where missing.
    """
    seen = np.isfinite(values).any(axis=0)
    filled = np.where(seen, values, 0.0)
    middle = np.nanmedian(filled, axis=0)
    deviation = 1.4826 * np.nanmedian(np.abs(filled - middle), axis=0)
    scale = np.maximum(deviation, np.nanstd(filled, axis=0) / 2)
    scale = np.maximum(scale, _RELATIVE_FLOOR * np.abs(middle) + 1e-9)
    counted = np.clip((filled - middle) / scale, -_CLIP, _CLIP)
    patience = _patience(counted)
    walked, moving = _walk(counted, patience)
    spread = np.sqrt((walked**2).mean(axis=0)) + 1e-6
    spread = np.maximum(spread, _RELATIVE_FLOOR * np.abs(middle) / scale)
    independent = _independent(walked)
    spread *= np.sqrt(1 + 1 / independent)
    normal = Normal(
        middle=np.where(seen, middle, np.nan),
        scale=scale,
        patience=patience,
        still=still_windows(values),
        spread=spread,
        freedom=np.maximum(_FREEDOM_MIN, independent - 1),
        **_together(counted, walked[:, len(SPEEDS) :] / spread[len(SPEEDS) :], independent),
    )
    return normal, moving


def count(normal: Normal, values: FloatArray) -> FloatArray:
    """Count values in spreads of single windows from the middle; NaN stays NaN."""
    return np.asarray(np.clip((values - normal.middle) / normal.scale, -_CLIP, _CLIP))


def advance(
    moving: Moving,
    counted: FloatArray,
    gain: FloatArray,
    *,
    cut: FloatArray | None = None,
    is_held: BoolArray | None = None,
) -> Moving:
    """Take one window in: smooth the deviations, let the reference follow where it is not held.

    Deviations beyond `cut` count as that, but where metrics are taken together.
    """
    known = np.isfinite(counted)
    away = np.where(known, counted - moving.reference, 0.0)
    small = away if cut is None else np.clip(away, -cut, cut)
    every = np.stack([small] * len(SPEEDS) + [away] * len(JOINT_SPEEDS))
    smooth = np.where(known, moving.smooth + (every - moving.smooth) / _ALL, moving.smooth)
    moves = known if is_held is None else known & ~is_held
    reference = moving.reference + np.where(moves, small * gain, 0.0)
    return replace(moving, reference=reference, smooth=smooth)


def _patience(counted: FloatArray) -> FloatArray:
    """Choose each reference's time constant: the longest that foretells nearly as well as the best."""
    number = len(counted)
    ahead = max(1, round(min(_AHEAD, number / 4)))
    first = number // 4
    choices = [max(2.0, share * number) for share in _SHARES]
    errors = []
    for choice in choices:
        told = _references(counted, choice)[first : number - ahead]
        away = np.clip(counted[first + ahead :] - told, -8, 8)
        is_known = np.isfinite(away)
        total = np.where(is_known, away**2, 0.0).sum(axis=0)
        errors.append(total / np.maximum(is_known.sum(axis=0), 1))
    is_good = np.array(errors) <= _AS_GOOD * np.min(errors, axis=0)
    return np.asarray(np.array(choices)[np.argmax(is_good, axis=0)])


def _references(counted: FloatArray, patience: float) -> FloatArray:
    reference = np.nan_to_num(counted[0])
    seen = np.zeros(counted.shape[1:])
    told = np.empty_like(counted)
    for row, values in enumerate(counted):
        known = np.isfinite(values)
        seen += known
        gain = np.maximum(1 / np.maximum(seen, 1), 1 / patience)
        reference = reference + np.where(known, (values - reference) * gain, 0.0)
        told[row] = reference
    return told


def _walk(counted: FloatArray, patience: FloatArray) -> tuple[FloatArray, Moving]:
    """Walk through the learning time as through any other; the first fifth is for settling."""
    number, *shape = counted.shape
    moving = at_rest(np.nan_to_num(counted[0]))
    seen = np.zeros(shape)
    walked = []
    for values in counted:
        seen += np.isfinite(values)
        gain = np.maximum(1 / np.maximum(seen, 1), 1 / patience)
        moving = advance(moving, values, gain)
        walked.append(moving.smooth)
    return np.array(walked[max(1, min(8, number // 2), number // 5) :]), moving


def _independent(walked: FloatArray) -> FloatArray:
    """How many independent values a stretch of correlated ones is worth; at least 1."""
    power = (walked**2).mean(axis=0) + 1e-12
    tie = np.clip((walked[1:] * walked[:-1]).mean(axis=0) / power, 0, 0.98)
    return np.asarray(np.maximum(1.0, len(walked) * (1 - tie) / (1 + tie)))


def _together(
    counted: FloatArray, walked: FloatArray, independent: FloatArray
) -> dict[str, FloatArray]:
    """Learn how the metrics hang together, where they are redundant.

    The distance is Hotelling's T² over all directions, those of small spread too: principal components'
    T² and squared prediction error in one. Its size in calm time is taken from parts of the learning time
    that had no share in the correlations.
    """
    speeds, devices, metrics = len(JOINT_SPEEDS), *counted.shape[1:]
    is_joint = _is_redundant(counted)
    found = nobody_joint(devices, metrics) | {"is_joint": is_joint.astype(np.float64)}
    if not is_joint.any():
        return found
    found["precision"] = np.zeros((speeds, devices, metrics, metrics))
    for speed in range(speeds):
        rows = walked[:, speed].transpose(1, 0, 2)
        found["precision"][speed] = _inverse(rows)
        blocks = np.array_split(np.arange(rows.shape[1]), _BLOCKS)
        distance = np.concatenate(
            [
                _distance(rows[:, block], _inverse(np.delete(rows, block, axis=1)))
                for block in blocks
            ],
            axis=1,
        )
        middle = np.median(distance, axis=1)
        heavy = np.log(np.quantile(distance, 0.95, axis=1) / middle)
        tails = np.log(fdtri(metrics, _FREEDOMS, 0.95) / fdtri(metrics, _FREEDOMS, 0.5))
        freedom = _FREEDOMS[np.argmin(np.abs(heavy[:, None] - tails), axis=1)]
        typical = np.median(independent[len(SPEEDS) + speed], axis=1)
        freedom = np.minimum(freedom, np.maximum(_FREEDOM_MIN, typical))
        found["joint_freedom"][speed] = freedom
        found["joint_scale"][speed] = middle / fdtri(metrics, freedom, 0.5)
    return found


def nobody_joint(devices: int, metrics: int) -> dict[str, FloatArray]:
    """Arrays of devices whose metrics are not taken together."""
    speeds = len(JOINT_SPEEDS)
    return {
        "is_joint": np.zeros(devices),
        "precision": np.zeros((speeds, 0, metrics, metrics)),
        "joint_scale": np.ones((speeds, devices)),
        "joint_freedom": np.ones((speeds, devices)),
    }


def _is_redundant(counted: FloatArray) -> BoolArray:
    """Whether a good part of a device's metrics is told by its others; (devices,) of bool."""
    number, devices, metrics = counted.shape
    if metrics < 2 or number <= 3 * metrics:
        return np.zeros(devices, dtype=np.bool_)
    rows = np.nan_to_num(counted).transpose(1, 0, 2)
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows = rows / (rows.std(axis=1, keepdims=True) + 1e-9)
    alone = 1 / np.diagonal(_inverse(rows), axis1=1, axis2=2)
    told = 1 - alone * (number - 1) / (number - metrics - 1)
    return np.asarray((told >= _REDUNDANT_R2).mean(axis=1) >= _REDUNDANT_SHARE)


def _inverse(rows: FloatArray) -> FloatArray:
    spread = rows.transpose(0, 2, 1) @ rows / rows.shape[1]
    return np.asarray(np.linalg.inv((1 - _RIDGE) * spread + _RIDGE * np.eye(rows.shape[2])))


def _distance(rows: FloatArray, precision: FloatArray) -> FloatArray:
    """Squared distance of each row; (devices, rows)."""
    return np.asarray(((rows @ precision) * rows).sum(axis=2))
