"""Corrects the remaining lives and chances of replayed devices, as live scoring does, by failures that came before. Pure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anomaly.backtest.track import STATUSES, Track
from anomaly.chances import chances_of
from anomaly.lives import LEARN_EVERY, LOOK_BACK, Correction, Miss, corrected_then, learn_correction
from anomaly.records import IntArray
from core.units import US

_DECLINING = STATUSES.index("declining")
_US_PER_HOUR = 3.6e9


def corrections_of(modes: Sequence[str], tracks: Sequence[Track]) -> list[Correction]:
    """Learn anew once a week, from the failures that the devices themselves had reported by then.

    Parameters
    ----------
    modes : sequence of str
        Names of the failure modes, in the order of the tracks.
    """
    misses = sorted(
        (
            (at_us, _miss(track, at_us, mode, name=modes[mode]))
            for track in tracks
            for at_us, mode in track.faults
        ),
        key=lambda pair: pair[0],
    )
    every = LEARN_EVERY // US
    found: list[Correction] = []
    known = 0
    for number, (at_us, _) in enumerate(misses, start=1):
        week = -(-at_us // every)
        is_last = number == len(misses) or -(-misses[number][0] // every) > week
        if is_last and number > known:
            past = [miss for _, miss in misses[:number]]
            found.append(learn_correction(past, from_us=week * every))
            known = number
    return found


def with_lives(modes: Sequence[str], track: Track, corrections: Sequence[Correction]) -> Track:
    """Return a track with its lives, and the chances that follow from them, corrected by what was known at each forecast.

    Parameters
    ----------
    modes : sequence of str
        Names of the failure modes, in the order of the track.
    corrections : sequence of Correction
        The oldest first; before the first one nothing had been learned.
    """
    life, p_fail = np.empty_like(track.life_hours), np.empty_like(track.p_fail)
    for place, mode in enumerate(modes):
        said = track.life_hours[:, place]
        life[:, place] = corrected_then(
            corrections, track.made_us, said, track.worn[:, place], mode=mode
        )
        p_fail[:, place] = chances_of(said, life[:, place], track.p_fail[:, place])
    return replace(track, life_hours=life, p_fail=p_fail)


def _miss(track: Track, at_us: int, mode: int, *, name: str) -> Miss:
    """What was said about a part before it failed, since the part before it failed or was replaced."""
    begin = at_us - LOOK_BACK // US
    begin = max([begin, *_before(track, at_us, mode)])
    rows = (track.made_us > begin) & (track.made_us < at_us)
    rows &= (track.status[:, mode] == _DECLINING) & np.isfinite(track.life_hours[:, mode, 2])
    left = (at_us - track.made_us[rows]) / _US_PER_HOUR
    return Miss(
        mode=name, said_hours=track.life_hours[rows, mode], left_hours=left,
        worn=track.worn[rows, mode],
    )  # fmt: skip


def _before(track: Track, at_us: int, mode: int) -> list[int]:
    failures = [at for at, place in track.faults if place == mode and at < at_us]
    return [*failures, *_replaced(track, mode, at_us).tolist()]


def _replaced(track: Track, mode: int, at_us: int) -> IntArray:
    services = track.history.service_us[track.history.service_component == track.components[mode]]
    return np.asarray(services[services < at_us])
