"""Puts messages into the outbox: the row and the job that sends it, in the caller's transaction.

Either both are committed together with the change they tell of, or none is.
"""

import hashlib
from datetime import datetime
from email.utils import parseaddr

import msgspec
import procrastinate

from core.pool import Connection
from core.settings import Settings
from core.sql import Queries
from maintenance.case import Case
from maintenance.links import link_url, sign_link
from maintenance.notices import Notice

TASK = "maintenance.send"
QUEUE = "notifications"

_queries = Queries("maintenance")
# Never opened: a job is inserted over the caller's own connection.
_app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """What messages need of the settings."""

    key: bytes
    base_url: str
    mail_from: str

    def link(self, ticket_id: int, *, owner_id: int | None) -> str:
        token = sign_link(self.key, ticket_id=ticket_id, owner_id=owner_id)
        return link_url(self.base_url, token)

    @property
    def domain(self) -> str:
        return parseaddr(self.mail_from)[1].rpartition("@")[2] or "forecare.invalid"


def sender_of(settings: Settings) -> Sender:
    return Sender(key=settings.key, base_url=settings.base_url, mail_from=settings.mail_from)


def queue_notice(  # noqa: PLR0913 - everything by keyword
    connection: Connection,
    notice: Notice,
    *,
    case: Case,
    event_key: str,
    event_at: datetime,
    sender: Sender,
    now: datetime,
) -> int | None:
    """Queue a message to the device's owner, once per event; return its id, None if not queued."""
    if case.owner is None or not case.owner.email:
        return None
    row = connection.execute(
        _queries["queue_notification"],
        {
            "event_key": event_key,
            "ticket_id": case.ticket_id,
            "owner_id": case.owner.owner_id,
            "address": case.owner.email,
            "subject": notice.subject,
            "body_text": notice.text,
            "body_html": notice.html,
            "body_calendar": notice.calendar,
            "message_id": message_id(sender, event_key=event_key, address=case.owner.email),
            "event_at": event_at,
            "now": now,
        },
    ).fetchone()
    if row is None:
        return None
    defer_send(connection, row[0])
    return int(row[0])


def defer_send(connection: Connection, notification_id: int) -> None:
    """Insert the job that sends a message; workers hear of it when the transaction commits."""
    _app.configure_task(
        TASK, queue=QUEUE, lock=f"notification:{notification_id}", connection=connection
    ).defer(notification_id=notification_id)


def message_id(sender: Sender, *, event_key: str, address: str) -> str:
    """Return the Message-ID of an event to an address: the same however often it is sent.

    The installation's key goes in, so that two installations never share one.
    """
    text = f"{event_key}|email|{address}".encode()
    digest = hashlib.blake2s(text, key=hashlib.sha256(sender.key).digest()).hexdigest()[:32]
    return f"<{digest}@{sender.domain}>"
