"""Hands one message to a mail server, and says of a failure only whether to try again.

The Message-ID comes in and never changes, so a receiver can tell a repeat from a second message.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import msgspec

from core.errors import InvalidError, PermanentError, RetryableError

TIMEOUT_S = 20.0
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"MailServer({self.scheme}://{self.host}:{self.port})"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one address."""

    sender: str
    address: str
    subject: str
    text: str
    html: str
    calendar: str | None
    message_id: str
    created_at: datetime


class MailServerBusyError(RetryableError):
    """The mail server is away or says: later."""


class MailRefusedError(PermanentError):
    """The mail server, or the message itself, rules out that it will ever be delivered."""


def parse_smtp_url(url: str) -> MailServer:
    """Read smtp://[user:password@]host[:port], smtps:// (TLS) or smtp+starttls://.

    Raises
    ------
    InvalidError
        If it is none of these, or would send a password unencrypted over a network.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if parts.scheme not in _PORTS or not parts.hostname or not port:
        raise InvalidError(
            "FORECARE_SMTP_URL is no address of a mail server",
            hint="write smtp://host:25, smtps://user:password@host or smtp+starttls://user:password@host",
        )
    if parts.scheme == "smtp" and parts.password and parts.hostname not in _LOOPBACK:
        raise InvalidError(
            "FORECARE_SMTP_URL would send its password unencrypted",
            hint="write smtps:// or smtp+starttls:// in place of smtp://",
        )
    return MailServer(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def compose(mail: Mail) -> EmailMessage:
    """Build the message: plain text, its HTML twin, and the visit for the calendar.

    Raises
    ------
    MailRefusedError
        If a header would carry a line break, or an address is none.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = mail.sender
        message["To"] = mail.address
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = mail.message_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        if mail.calendar is not None:
            message.add_attachment(
                mail.calendar,
                subtype="calendar",
                filename="visit.ics",
                params={"method": "PUBLISH"},
            )
        recipients = message["To"].addresses
    except (ValueError, IndexError) as error:
        raise MailRefusedError(f"the message cannot be written: {error}") from error
    if len(recipients) != 1 or recipients[0].addr_spec != mail.address or "@" not in mail.address:
        raise MailRefusedError("the owner's e-mail address is none")
    return message


def send(mail: Mail, *, server: MailServer, timeout_s: float = TIMEOUT_S) -> None:
    """Deliver one message to the mail server; returns once the server has taken it.

    Raises
    ------
    MailServerBusyError
        If the same message may get through later.
    MailRefusedError
        If it never will.
    """
    message = compose(mail)
    try:
        with _session(server, timeout_s=timeout_s) as session:
            session.send_message(message)
    except smtplib.SMTPAuthenticationError as error:
        raise MailServerBusyError(
            f"{server.host} refuses our user name or password ({error.smtp_code})",
            hint="mend FORECARE_SMTP_URL; the messages wait",
        ) from error
    except smtplib.SMTPRecipientsRefused as error:
        code, answer = next(iter(error.recipients.values()))
        raise _refusal(code, answer) from error
    except smtplib.SMTPResponseException as error:
        raise _refusal(error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailServerBusyError(f"{server.host}: {error}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise MailServerBusyError(
            f"{server.host}:{server.port} does not answer: {error or type(error).__name__}"
        ) from error


@contextmanager
def _session(server: MailServer, *, timeout_s: float) -> Iterator[smtplib.SMTP]:
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        session: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=timeout_s, context=context
        )
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    with session:
        if server.scheme == "smtp+starttls":
            session.starttls(context=ssl.create_default_context())
        if server.user:
            session.login(server.user, server.password)
        yield session


def _refusal(code: int, answer: bytes | str) -> MailServerBusyError | MailRefusedError:
    """RFC 5321 section 4.2.1: 4yz may work later, 5yz never will."""
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    sentence = f"the mail server answered {code} {text[:200]}"
    return MailRefusedError(sentence) if 500 <= code < 600 else MailServerBusyError(sentence)
