"""Detectors of many devices as fields of records of fixed width, and back, to the bit. Pure."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly.stream.detector import Detector
from anomaly.stream.normal import JOINT_SPEEDS, SPEEDS, SPEEDS_FIRST, Moving, Normal

_EVERY, _JOINT = len(SPEEDS) + len(JOINT_SPEEDS), len(JOINT_SPEEDS)
_WIDER = {"spread", "freedom", "smooth"}
Records = NDArray[Any]


def record_shapes(metrics: int) -> dict[str, tuple[int, ...]]:
    """Name the fields, and the shape that each has in a record."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part, kind in (("normal", Normal), ("moving", Moving)):
        for f in fields(kind):
            shape: tuple[int, ...] = (_EVERY, metrics) if f.name in _WIDER else (metrics,)
            if f.name == "precision":
                shape = (_JOINT, metrics, metrics)
            elif f.name == "is_joint":
                shape = ()
            elif f.name in {"joint_scale", "joint_freedom"}:
                shape = (_JOINT,)
            shapes[f"{part}_{f.name}"] = shape
    return shapes


def to_records(detector: Detector, records: Records) -> None:
    """Lay a detector down in the records of its devices."""
    for part, arrays in (("normal", detector.normal_), ("moving", detector.moving_)):
        for f in fields(arrays):
            array = getattr(arrays, f.name)
            if f.name == "precision" and not array.shape[1]:
                array = np.zeros((_JOINT, len(records), *array.shape[2:]))
            records[f"{part}_{f.name}"] = (
                np.moveaxis(array, 0, 1) if f.name in SPEEDS_FIRST else array
            )


def from_records(records: Records) -> Detector:
    """Read the detector of some devices from their records."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {"normal": {}, "moving": {}}
    for part, kind in (("normal", Normal), ("moving", Moving)):
        for f in fields(kind):
            array = records[f"{part}_{f.name}"]
            if f.name in SPEEDS_FIRST:
                array = np.moveaxis(array, 1, 0)
            found[part][f.name] = np.array(array, dtype=np.float64, order="C")
    normal = Normal(**found["normal"])
    if not normal.is_joint.any():
        normal.precision = normal.precision[:, :0]
    return Detector(normal=normal, moving=Moving(**found["moving"]), rarities=[])
