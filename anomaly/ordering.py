"""One integer for a device and an instant, so that many devices are searched at once. Pure."""

from typing import NamedTuple

import numpy as np

from anomaly.records import IntArray


class Place(NamedTuple):
    """Devices (numbered from 0) and instants, element by element."""

    device: IntArray
    at_us: IntArray


def keys_of(*places: Place) -> tuple[IntArray, ...]:
    """Number pairs of device and instant so that the numbers sort as the pairs do, across all arguments."""
    instants = np.unique(np.concatenate([place.at_us for place in places]))
    width = len(instants) + 1
    return tuple(
        np.asarray(place.device * width + np.searchsorted(instants, place.at_us), dtype=np.int64)
        for place in places
    )
