"""Reads the Maildir of the built-in mail sink. What it returns is untrusted text and HTML.

Show `html` only in a sandboxed frame without scripts; everything else as text.
"""

import re
from datetime import UTC, datetime
from email import message_from_binary_file
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec

from core.errors import NotFoundError

MESSAGES_MAX = 200
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,199}")
_FOLDERS = ("new", "cur")


class MessageHead(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    received_at: datetime
    sender: str
    recipient: str
    subject: str
    message_id: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    head: MessageHead
    sent_at: datetime | None
    text: str
    html: str
    attachments: tuple[str, ...]
    """File names."""


def list_messages(
    directory: Path | str, *, count_max: int = MESSAGES_MAX
) -> tuple[MessageHead, ...]:
    """Return the heads of the newest messages, newest first; none if there is no such Maildir."""
    files = [
        (entry.stat().st_mtime_ns, entry)
        for folder in _FOLDERS
        if (Path(directory) / folder).is_dir()
        for entry in (Path(directory) / folder).iterdir()
        if _KEY.fullmatch(_key(entry))
    ]
    newest = sorted(files, key=lambda pair: (pair[0], pair[1].name), reverse=True)[:count_max]
    return tuple(_head(file, _parse(file)) for _, file in newest)


def read_message(directory: Path | str, key: str) -> Message:
    """Return one message.

    Raises
    ------
    NotFoundError
        If there is no message of that key.
    """
    file = _find(Path(directory), key)
    message = _parse(file)
    try:
        sent_at = parsedate_to_datetime(str(message["Date"])) if message["Date"] else None
    except ValueError:
        sent_at = None
    return Message(
        head=_head(file, message),
        sent_at=sent_at,
        text=_part(message, "plain"),
        html=_part(message, "html"),
        attachments=tuple(part.get_filename() or "unnamed" for part in message.iter_attachments()),
    )


def _find(directory: Path, key: str) -> Path:
    if _KEY.fullmatch(key):
        for folder in _FOLDERS:
            parent = directory / folder
            if parent.is_dir():
                for entry in parent.iterdir():
                    if _key(entry) == key:
                        return entry
    raise NotFoundError("there is no such message in the inbox")


def _key(file: Path) -> str:
    """Maildir flags follow a colon; the key is what stays when they change."""
    return file.name.partition(":")[0]


def _parse(file: Path) -> EmailMessage:
    with file.open("rb") as stream:
        return message_from_binary_file(stream, EmailMessage, policy=default)


def _head(file: Path, message: EmailMessage) -> MessageHead:
    return MessageHead(
        key=_key(file),
        received_at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        sender=str(message["From"] or ""),
        recipient=str(message["To"] or message["Delivered-To"] or ""),
        subject=str(message["Subject"] or "(no subject)"),
        message_id=str(message["Message-ID"] or ""),
    )


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    return payload.decode(part.get_content_charset("utf-8"), errors="replace").replace("\r\n", "\n")
