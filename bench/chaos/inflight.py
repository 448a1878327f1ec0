"""Counts the messages that the broker has handed to a subscriber and that are not acknowledged.

Reads both directions of an MQTT 5 connection. Pure: bytes in, numbers out.
"""

from collections.abc import Iterator

import mqtt5

from bench.chaos.proxy import Side

_CONNECT, _PUBLISH, _PUBACK = 1, 3, 4
_LENGTH_BYTES_MAX = 4


class InFlight:
    """One connection."""

    def __init__(self) -> None:
        self.receive_max = 0
        """What the subscriber has said when it connected."""
        self.unacknowledged_max = 0
        self._unacknowledged: set[int] = set()
        self._rest = {Side.CLIENT: b"", Side.SERVER: b""}

    def saw(self, sender: Side, data: bytes) -> None:
        """Take in what one side has sent."""
        buffer = self._rest[sender] + data
        at = 0
        for first, start, end in _frames(buffer):
            self._take(sender, first, buffer[start:end], buffer[at:end])
            at = end
        self._rest[sender] = buffer[at:]

    def _take(self, sender: Side, first: int, body: bytes, frame: bytes) -> None:
        kind = first >> 4
        if sender is Side.SERVER and kind == _PUBLISH and first & 0b110:
            after = 2 + int.from_bytes(body[:2], "big")
            self._unacknowledged.add(int.from_bytes(body[after : after + 2], "big"))
            self.unacknowledged_max = max(self.unacknowledged_max, len(self._unacknowledged))
        elif sender is Side.CLIENT and kind == _PUBACK:
            self._unacknowledged.discard(int.from_bytes(body[:2], "big"))
        elif sender is Side.CLIENT and kind == _CONNECT:
            packet, _ = mqtt5.read(memoryview(frame))
            assert isinstance(packet, mqtt5.ConnectPacket)
            self.receive_max = packet.receive_max


class InFlightWatch:
    """All connections of a run; called for each new one."""

    def __init__(self) -> None:
        self.connections: list[InFlight] = []

    def __call__(self) -> InFlight:
        connection = InFlight()
        self.connections.append(connection)
        return connection

    @property
    def receive_max(self) -> int:
        return max((c.receive_max for c in self.connections), default=0)

    @property
    def unacknowledged_max(self) -> int:
        return max((c.unacknowledged_max for c in self.connections), default=0)

    @property
    def is_obeyed(self) -> bool:
        return all(c.unacknowledged_max <= c.receive_max for c in self.connections)


def _frames(buffer: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield first byte, start and end of the body of each packet that is complete."""
    at = 0
    while True:
        length, shift, place = 0, 0, at + 1
        for _ in range(_LENGTH_BYTES_MAX):
            if place >= len(buffer):
                return
            byte = buffer[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if place + length > len(buffer):
            return
        yield buffer[at], place, place + length
        at = place + length
