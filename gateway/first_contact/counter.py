"""The door at which strangers ask: a small MQTT 5 server of the gateway's own.

Strangers never come near the broker. There an anonymous client could take any client id, ours and every
device's, and with it the session behind it (docs/decisions/0016). Here a client can do one thing: publish
on `provision/<its client id>/request`, and hear the answer. Packets, connections and time are bounded.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mqtt5
import msgspec
import psycopg
from psycopg_pool import PoolTimeout

from core.clock import monotonic_s, wall_now
from core.log import get_logger
from gateway.broker import SERVER_CERTIFICATE, SERVER_KEY
from gateway.first_contact.decide import Reason, refusal
from gateway.first_contact.service import Reception

log = get_logger("gateway")

CONNECTIONS_MAX = 32
PACKET_BYTES_MAX = 4096
PATIENCE_S = 60.0
"""How long a connection may last: enough to ask a few times."""
_SILENCE_S = 20.0
_ACCEPT_S = 0.5
_AWAY_S = 10
_QOS1 = mqtt5.QoS.AT_LEAST_ONCE

Answer = Callable[[bytes, str], bytes]
"""From the payload of a request and the client id to the payload of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What the door shows of itself, if it speaks TLS."""

    chain: Path
    key: Path


def server_certificate(directory: Path) -> Certificate | None:
    """Return the broker's own certificate, if it lies beside its other files."""
    chain, key = directory / SERVER_CERTIFICATE, directory / SERVER_KEY
    return Certificate(chain=chain, key=key) if chain.exists() and key.exists() else None


class Counter:
    """Listens until it is closed; each visitor has a thread, at most 32 at a time."""

    def __init__(
        self, reception: Reception, *, host: str, port: int, certificate: Certificate | None = None
    ) -> None:
        self._reception = reception
        self._certificate = certificate
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._stop = threading.Event()
        self._listener = socket.create_server((host, port), backlog=CONNECTIONS_MAX)
        self._listener.settimeout(_ACCEPT_S)
        self._thread = threading.Thread(target=self._listen, name="first-contact", daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                visitor, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("first_contact.accept_failed", reason=str(error))
                self._stop.wait(_ACCEPT_S)
                continue
            if not self._places.acquire(blocking=False):
                visitor.close()  # a device that finds no place comes again
                continue
            threading.Thread(target=self._receive, args=(visitor,), daemon=True).start()

    def _receive(self, plain: socket.socket) -> None:
        try:
            plain.settimeout(_SILENCE_S)
            with plain if self._certificate is None else self._wrapped(plain) as visitor:
                Visit(visitor, self._answer).serve()
        except (OSError, ValueError, IndexError):
            pass  # gone, silent for too long, or no MQTT: nothing to keep
        except Exception:
            log.exception("first_contact.failed")
        finally:
            with suppress(OSError):
                plain.close()
            self._places.release()

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        assert self._certificate is not None
        # Read anew for each visitor: a renewed certificate needs no restart.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate.chain, self._certificate.key)
        return context.wrap_socket(plain, server_side=True)

    def _answer(self, payload: bytes, client_id: str) -> bytes:
        try:
            told = self._reception.answer(payload, client_id=client_id, now=wall_now())
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout):
            told = refusal(Reason.AWAY, hint="ask again soon", retry_after_s=_AWAY_S)
        return msgspec.json.encode(told)


class Visit:
    """One connection, from CONNECT to its end.

    Parameters
    ----------
    visitor : socket
        Has a timeout; any error on it ends the visit.
    answer : callable(payload, client_id)
    """

    def __init__(self, visitor: socket.socket, answer: Answer) -> None:
        self._visitor = visitor
        self._answer = answer
        self._rest = b""
        self._ends_s = monotonic_s() + PATIENCE_S
        self._client_id = ""
        self._hears = False
        self._next_id = 0

    def serve(self) -> None:
        """Answer until the visitor goes, is silent, or says something that does not belong here.

        Raises
        ------
        OSError, ValueError, IndexError
            If the visit cannot go on.
        """
        hello = self._read()
        if not isinstance(hello, mqtt5.ConnectPacket):
            return
        self._client_id = hello.client_id
        reason = _reason(hello)
        self._send(
            mqtt5.ConnAckPacket(
                reason_code=reason,
                receive_max=1,
                max_qos=_QOS1,
                retain_available=False,
                max_packet_size=PACKET_BYTES_MAX,
                session_expiry_interval=0,
                wildcard_subscription_available=False,
                shared_subscription_available=False,
            )
        )
        if reason != mqtt5.ConnAckReasonCode.SUCCESS:
            return
        while monotonic_s() < self._ends_s and self._take(self._read()):
            pass

    def _take(self, packet: mqtt5.Packet) -> bool:
        """Do what a packet asks for; False ends the visit."""
        if isinstance(packet, mqtt5.SubscribePacket):
            self._subscribe(packet)
        elif isinstance(packet, mqtt5.PublishPacket):
            self._publish(packet)
        elif isinstance(packet, mqtt5.PingReqPacket):
            self._send(mqtt5.PingRespPacket())
        else:
            return isinstance(packet, mqtt5.PubAckPacket)
        return True

    def _subscribe(self, packet: mqtt5.SubscribePacket) -> None:
        own = f"provision/{self._client_id}/answer"
        granted = mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE
        codes = [
            granted if wanted.pattern == own else mqtt5.SubAckReasonCode.NOT_AUTHORIZED
            for wanted in packet.topic_filters
        ]
        self._hears = self._hears or granted in codes
        self._send(mqtt5.SubAckPacket(packet.packet_id, codes))

    def _publish(self, packet: mqtt5.PublishPacket) -> None:
        is_ours = packet.topic == f"provision/{self._client_id}/request"
        if packet.packet_id is not None:
            code = (
                mqtt5.PubAckReasonCode.SUCCESS if is_ours else mqtt5.PubAckReasonCode.NOT_AUTHORIZED
            )
            self._send(mqtt5.PubAckPacket(packet.packet_id, reason_code=code))
        if not (is_ours and self._hears):
            return  # nobody would hear the answer
        payload = self._answer(bytes(packet.payload), self._client_id)
        self._next_id = self._next_id % 65535 + 1
        topic = f"provision/{self._client_id}/answer"
        self._send(mqtt5.PublishPacket(topic, payload, qos=_QOS1, packet_id=self._next_id))

    def _send(self, packet: mqtt5.Packet) -> None:
        self._visitor.sendall(packet.write())

    def _read(self) -> mqtt5.Packet:
        while True:
            if self._rest:
                with suppress(IndexError):  # the packet is not whole yet
                    packet, length = mqtt5.read(memoryview(self._rest))
                    self._rest = self._rest[length:]
                    return packet
            if len(self._rest) > PACKET_BYTES_MAX:
                raise ValueError("the packet is too large")
            read = self._visitor.recv(PACKET_BYTES_MAX)
            if not read or monotonic_s() > self._ends_s:
                raise ConnectionError("the visit is over")
            self._rest += read


def _reason(hello: mqtt5.ConnectPacket) -> mqtt5.ConnAckReasonCode:
    is_usable = 1 <= len(hello.client_id) <= 128 and not set(hello.client_id) & set("/+#")
    if not is_usable or not hello.client_id.isprintable():
        return mqtt5.ConnAckReasonCode.CLIENT_ID_NOT_VALID
    return mqtt5.ConnAckReasonCode.SUCCESS
