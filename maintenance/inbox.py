"""A mail server for trying things out: takes every message on loopback and keeps it in a Maildir.

Real SMTP, real files: a message is answered with 250 only after it lies on the disk.
"""

import mailbox
import os
from pathlib import Path
from threading import Event

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from core.errors import RetryableError
from core.log import get_logger

log = get_logger("inbox")

HOST = "127.0.0.1"
SIZE_MAX = 1_000_000
_START_S = 10.0


class PortTakenError(RetryableError):
    """Another program listens there."""


class MaildirSink:
    """Handler of aiosmtpd that stores what it is given."""

    def __init__(self, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._maildir = mailbox.Maildir(directory, create=True)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Store the message, then confirm it."""
        del server, session
        recipients = ", ".join(envelope.rcpt_tos).replace("\r", " ").replace("\n", " ")
        content = envelope.content or b""
        body = content if isinstance(content, bytes) else content.encode()
        self._maildir.add(f"Delivered-To: {recipients}\r\n".encode() + body)
        _sync_directory(self._directory / "new")
        return "250 stored"


def run(*, port: int, directory: Path, stop: Event, host: str = HOST) -> None:
    """Take mail until `stop` is set.

    Raises
    ------
    PortTakenError
        If the port is in use.
    """
    controller = Controller(
        MaildirSink(directory),
        hostname=host,
        port=port,
        data_size_limit=SIZE_MAX,
        ready_timeout=_START_S,
        enable_SMTPUTF8=True,
    )
    try:
        controller.start()
    except (OSError, TimeoutError) as error:
        raise PortTakenError(
            f"cannot listen on {host}:{port}: {error}", hint="choose another --port"
        ) from error
    log.info("inbox.listening", host=host, port=port, directory=str(directory))
    try:
        stop.wait()
    finally:
        controller.stop()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
