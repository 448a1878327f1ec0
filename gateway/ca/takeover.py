"""Ends the live session of a device whose certificate was revoked.

Mosquitto looks at the list of revoked certificates when somebody connects, and never again. So we connect
once as that device, with a certificate that lives for five minutes: the broker gives the session to the
newer connection and closes the older one, which finds the door shut when it comes again.
"""

import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mqtt5

from core.errors import RetryableError

_TIMEOUT_S = 10.0


class TakeoverError(RetryableError):
    """The session could not be ended."""


def end_session(host: str, port: int, *, name: str, certificate: bytes, trusted: Path) -> None:
    """Take the session of a device and let go of it.

    Raises
    ------
    TakeoverError
        If the broker cannot be reached or does not let us in.
    """
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname = False  # we come by the address that the settings name
    with TemporaryDirectory(prefix="forecare-") as folder:
        file = Path(folder) / "device.pem"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(certificate)
        context.load_cert_chain(file)
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as line,
        ):
            line.sendall(mqtt5.ConnectPacket(name, clean_start=True, keep_alive=30).write())
            code = _reason(line)
            line.sendall(mqtt5.DisconnectPacket().write())
    except (OSError, ValueError) as error:
        raise _failed(name, str(error)) from error
    if code != mqtt5.ConnAckReasonCode.SUCCESS:
        raise _failed(name, f"the broker says {code}")


def _reason(line: socket.socket) -> object:
    received = b""
    while True:
        read = line.recv(1024)
        if not read:
            raise ConnectionError("the broker closed the connection")
        received += read
        with suppress(IndexError):  # not whole yet
            packet, _ = mqtt5.read(memoryview(received))
            return packet.reason_code if isinstance(packet, mqtt5.ConnAckPacket) else packet


def _failed(name: str, why: str) -> TakeoverError:
    return TakeoverError(
        f"the certificate of {name} is revoked, but its session could not be ended: {why}",
        hint="restart the broker: no revoked device gets in again",
    )
