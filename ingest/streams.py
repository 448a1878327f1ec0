"""How far each device's messages are stored without a gap. Pure.

The state changes by `settle` after a COMMIT alone; `advance` only says what the batch would make of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.records import Numbered, StreamKey

_AHEAD_MAX = 4096
"""Messages of one stream that are remembered beyond a gap. They are stored all the same; when there
are more, the device's next repetition tells us of them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One boot of one device."""

    stored: int = -1
    """Everything up to and including this number is committed."""
    ahead: Mapping[int, int | None] = field(default_factory=dict)
    """Committed beyond the gap: number, and newest sample in milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What a batch makes of one stream."""

    stream: Stream
    has_moved: bool
    confirm: int | None
    """What to answer to the device; None: nothing is contiguous yet."""
    newest_ms: int | None
    """Newest sample of the part that is without a gap; None: none came."""


def advance(
    streams: Mapping[StreamKey, Stream], numbered: Iterable[Numbered]
) -> dict[StreamKey, Advance]:
    """Work out what a batch makes of the streams that it touches."""
    messages: dict[StreamKey, list[Numbered]] = {}
    for message in numbered:
        messages.setdefault((message.device_id, message.boot), []).append(message)
    return {key: _advance(streams.get(key, Stream()), found) for key, found in messages.items()}


def _advance(stream: Stream, messages: Sequence[Numbered]) -> Advance:
    stored = stream.stored
    ahead: dict[int, int | None] = dict(stream.ahead) if stream.ahead else {}
    newest: list[int] = []
    for message in messages:
        # Below `low` the device holds nothing any more, because it was confirmed to it.
        stored = max(stored, message.low - 1)
        if message.seq == stored + 1:
            stored = message.seq
            _note(newest, message.newest_ms)
        elif message.seq <= stored:
            _note(newest, message.newest_ms)
        else:
            ahead[message.seq] = message.newest_ms
        while ahead and stored + 1 in ahead:
            stored += 1
            _note(newest, ahead.pop(stored))
    ahead = {seq: ms for seq, ms in ahead.items() if seq > stored}
    if len(ahead) > _AHEAD_MAX:
        ahead = {}
    return Advance(
        stream=Stream(stored=stored, ahead=ahead),
        has_moved=stored > stream.stored,
        confirm=_confirm(stream.stored, stored, messages),
        newest_ms=max(newest, default=None),
    )


def _confirm(before: int, stored: int, messages: Sequence[Numbered]) -> int | None:
    """Choose the answer.

    A pure repetition is confirmed as far as it went and no further: a device whose boot counter was
    wiped begins the same numbers again, and must not hear that what it has not sent yet is stored.
    """
    if stored > before:
        return stored
    return max((message.seq for message in messages if message.seq <= stored), default=None)


def _note(newest: list[int], ms: int | None) -> None:
    if ms is not None:
        newest.append(ms)
