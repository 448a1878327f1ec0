"""A device that takes updates, written from the wire format alone: sockets, a digest and a signature."""

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import mqtt5
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.integration.gateway.client import Device


@dataclass
class Updatable:
    """What survives a restart of the device: its version and what it has downloaded."""

    product: str
    public_key: bytes
    version: str = "1.0"
    boot: int = 1
    pieces: dict[int, bytes] = field(default_factory=dict)
    asked_for: list[int] = field(default_factory=list)

    def be_born(self, line: Device) -> None:
        line.subscribe(line.topic("firmware"), line.topic("chunk"))
        self.announce(line)

    def announce(self, line: Device) -> None:
        """Say that it is there; real devices repeat it, since a broker may lose it (wire-format.md)."""
        birth = {"boot": self.boot, "firmware": self.version, "product": self.product}
        say(line, "birth", birth)

    def offer(self, line: Device, *, campaign: int = 1) -> dict[str, Any]:
        """Wait for the next message about the campaign."""
        while True:
            try:
                packet = next_of(line, "firmware")
            except TimeoutError:
                self.announce(line)
                packet = next_of(line, "firmware")
            message: dict[str, Any] = json.loads(packet.payload)
            if message["campaign"] == campaign:
                return message

    def download(self, line: Device, offer: dict[str, Any], *, until: int | None = None) -> None:
        """Fetch what is missing, four pieces at a time, up to (not including) a piece."""
        count = -(-offer["size"] // offer["chunk_bytes"])
        wanted = [n for n in range(count if until is None else until) if n not in self.pieces]
        while wanted:
            fetch = {
                "campaign": offer["campaign"],
                "chunk": wanted[0],
                "count": min(4, len(wanted)),
            }
            self.asked_for.append(wanted[0])
            say(line, "fetch", fetch)
            for _ in range(fetch["count"]):
                piece = next_of(line, "chunk").payload
                assert int.from_bytes(piece[:4], "big") == offer["campaign"]
                self.pieces[int.from_bytes(piece[4:8], "big")] = piece[8:]
            wanted = [n for n in wanted if n not in self.pieces]

    def is_sound(self, offer: dict[str, Any]) -> bool:
        image = b"".join(self.pieces[n] for n in sorted(self.pieces))
        digest = hashlib.sha256(image).digest()
        text = b"forecare-firmware\0" + self.product.encode() + b"\0" + offer["version"].encode()
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(
                base64.b64decode(offer["signature"]), text + b"\0" + digest
            )
        except InvalidSignature:
            return False
        return digest.hex() == offer["sha256"] and len(image) == offer["size"]


def say(line: Device, kind: str, message: dict[str, Any]) -> None:
    """Publish until somebody has subscribed."""
    payload = json.dumps(message).encode()
    nobody = mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
    while line.publish(payload, topic=line.topic(kind)) == nobody:
        time.sleep(0.02)


def progress(line: Device, state: str, **more: Any) -> None:
    say(line, "progress", {"campaign": 1, "state": state} | more)


def next_of(line: Device, kind: str) -> mqtt5.PublishPacket:
    while True:
        for i, packet in enumerate(line.received):
            if packet.topic == line.topic(kind):
                del line.received[i]
                return packet
        line.received.append(line.read(mqtt5.PublishPacket))
