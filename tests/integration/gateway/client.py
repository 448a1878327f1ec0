"""A plain MQTT 5 device for tests: a socket and packets, nothing of our own client."""

import json
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mqtt5

from gateway.records import DeviceCredential

QOS1 = mqtt5.QoS.AT_LEAST_ONCE


class RefusedError(Exception):
    """The broker did not let us in; `.reason` says why."""

    def __init__(self, reason: mqtt5.ConnAckReasonCode) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass
class Device:
    """One connection of a device. `received` holds what it was sent, in order."""

    host: str
    port: int
    user: str
    password: str
    shard: str = "00"
    client_id: str | None = None
    will: mqtt5.Will | None = None
    received: list[mqtt5.PublishPacket] = field(default_factory=list)
    _rest: bytes = b""
    _next_id: int = 0

    @classmethod
    def of(cls, broker: Any, credential: DeviceCredential, **more: Any) -> Self:
        return cls(
            host=broker.host,
            port=broker.port,
            user=credential.user,
            password=credential.password,
            shard=credential.shard,
            **more,
        )

    def __enter__(self) -> Self:
        plain = socket.create_connection((self.host, self.port), timeout=60)
        try:
            self._socket = self.wrap(plain)
        except OSError:
            plain.close()
            raise
        try:
            self._connect()
        except (OSError, RefusedError):
            self._socket.close()
            raise
        return self

    def _connect(self) -> None:
        packet = mqtt5.ConnectPacket(
            client_id=self.client_id or self.user,
            username=self.user,
            password=self.password.encode(),
            clean_start=True,
            keep_alive=60,
            will=self.will,
        )
        self._socket.sendall(packet.write())
        answer = self.read()
        assert isinstance(answer, mqtt5.ConnAckPacket)
        if answer.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise RefusedError(answer.reason_code)
        self.max_packet_size = answer.max_packet_size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def wrap(self, plain: socket.socket) -> socket.socket:
        """Put TLS around the connection, where a kind of device has it."""
        return plain

    def topic(self, kind: str = "telemetry") -> str:
        return f"fc/{self.shard}/{self.user}/{kind}"

    def subscribe(self, *patterns: str) -> Sequence[mqtt5.SubAckReasonCode]:
        filters = [mqtt5.TopicFilter(pattern, max_qos=QOS1) for pattern in patterns]
        self._socket.sendall(mqtt5.SubscribePacket(self._packet_id(), filters).write())
        answer = self.read(mqtt5.SubAckPacket)
        return list(answer.reason_codes)

    def send(self, message: Any, *, topic: str = "") -> None:
        """Publish at QoS 1 without waiting for the PUBACK."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        packet = mqtt5.PublishPacket(
            topic or self.topic(), payload, qos=QOS1, packet_id=self._packet_id()
        )
        self._socket.sendall(packet.write())

    def publish(self, message: Any, *, topic: str = "") -> mqtt5.PubAckReasonCode:
        """Publish at QoS 1 and return the broker's answer."""
        self.send(message, topic=topic)
        answer = self.read(mqtt5.PubAckPacket)
        return answer.reason_code

    def deliver(self, message: Any) -> None:
        """Publish until somebody has subscribed, as a device must: reason 0x10 is no acceptance."""
        while self.publish(message) == mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS:
            time.sleep(0.02)

    def stored(self) -> tuple[int, int]:
        """Wait for the next `stored` message; return boot and seq."""
        while True:
            for i, packet in enumerate(self.received):
                if packet.topic == self.topic("stored"):
                    del self.received[i]
                    numbers = json.loads(packet.payload)
                    return numbers["boot"], numbers["seq"]
            self.received.append(self.read(mqtt5.PublishPacket))

    def wait_stored(self, boot: int, seq: int) -> None:
        """Wait until everything up to this number is confirmed."""
        while (found := self.stored()) != (boot, seq):
            assert found[0] == boot
            assert found[1] < seq

    def read(self, kind: type[Any] | None = None) -> Any:
        """Return the next packet (of a kind); messages that come in between are kept."""
        while True:
            try:
                packet, length = mqtt5.read(memoryview(self._rest))
            except IndexError:
                read = self._socket.recv(1 << 16)
                if not read:
                    raise ConnectionError("the broker closed the connection") from None
                self._rest += read
                continue
            self._rest = self._rest[length:]
            if kind is None or isinstance(packet, kind):
                return packet
            if isinstance(packet, mqtt5.PublishPacket):
                self.received.append(packet)

    def read_to_the_end(self) -> None:
        while True:
            self.read()

    def hears_nothing(self, *, probe: str) -> bool:
        """Ask the broker for a round trip; true if no message came before its answer."""
        self.subscribe(probe)
        return not self.received

    def _packet_id(self) -> int:
        self._next_id = self._next_id % 65535 + 1
        return self._next_id


class TlsDevice(Device):
    """The same device behind TLS; its certificate, if it has one, lies in a folder."""

    certificate: Path | None = None
    trusted: Path

    def with_files(self, folder: Path | None, *, trusted: Path) -> Self:
        self.certificate, self.trusted = folder, trusted
        return self

    def wrap(self, plain: socket.socket) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.trusted))
        if self.certificate:
            context.load_cert_chain(
                self.certificate / "device.crt", self.certificate / "device.key"
            )
        return context.wrap_socket(plain, server_hostname=self.host)
