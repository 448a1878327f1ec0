"""Replays a product's devices, those that share a baseline side by side. The only part of a backtest that takes long."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from anomaly.backtest.lives import with_lives
from anomaly.backtest.replay import replay_streams
from anomaly.backtest.source import Member, Source
from anomaly.backtest.track import STATUSES, Track
from anomaly.training.speaker import speak
from anomaly.yardstick import Yardstick

_LEARNING = STATUSES.index("learning")


def replay(source: Source) -> Iterator[Track]:
    """Score every device from its first sample on, by the scorer that serves live devices.

    The tracks keep what is judged; windows are let go, so that the memory does not grow with them.
    """
    groups: dict[int, list[Member]] = {}
    for member in source.members:
        groups.setdefault(id(member.normal), []).append(member)
    for members in groups.values():
        yard = Yardstick(source.layout, members[0].normal.baseline)
        streams = [member.stream for member in members]
        tracks = replay_streams(source.catalog, yard, streams)
        for member, track in zip(members, tracks, strict=True):
            known = with_lives(source.catalog.modes, track, source.corrections)
            spoken = speak(source.catalog, known, source.models)
            yield as_known_then(_light(spoken), member)


def as_known_then(track: Track, member: Member) -> Track:
    """Take back what could not be said yet: the scorer catches up when a product's baseline is learned,
    and what it says about the time before came too late to be of use."""
    too_soon = track.made_us < member.normal.known_us
    if not too_soon.any():
        return track
    status, p_fail, life = track.status.copy(), track.p_fail.copy(), track.life_hours.copy()
    status[too_soon], p_fail[too_soon], life[too_soon] = _LEARNING, np.nan, np.inf
    return replace(track, status=status, p_fail=p_fail, life_hours=life)


def _light(track: Track) -> Track:
    none = np.empty(0, dtype=np.int64)
    history = replace(track.history, at_us=none, values=np.empty((0, 0)), health=np.empty((0, 0)))
    return replace(track, history=history)
