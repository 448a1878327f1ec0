"""What goes to the mail server, and what never does."""

from email import message_from_bytes
from email.policy import default
from typing import Any

import msgspec
import pytest

from core.errors import InvalidError
from maintenance.invitation import visit_calendar
from maintenance.mail import Mail, MailRefusedError, MailServer, compose, parse_smtp_url
from maintenance.outbox import message_id
from tests.fixtures.maintenance import NOON, SENDER

MAIL = Mail(
    sender="Northwarm <care@northwarm.example>",
    address="ada@owner.example",
    subject="Plan a visit: größer",
    text="Grüße\n",
    html="<p>Grüße</p>",
    calendar="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
    message_id="<1@northwarm.example>",
    created_at=NOON,
)


def test_a_message_has_text_html_and_calendar() -> None:
    message = message_from_bytes(compose(MAIL).as_bytes(), policy=default)

    assert [part.get_content_type() for part in message.walk() if not part.is_multipart()] == [
        "text/plain",
        "text/html",
        "text/calendar",
    ]
    assert message["Subject"] == "Plan a visit: größer"
    assert message["Message-ID"] == "<1@northwarm.example>"
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Hello\r\nBcc: everybody@evil.example"),
        ("subject", "Hello\nX-Evil: 1"),
        ("address", "ada@owner.example\r\nBcc: everybody@evil.example"),
        ("address", "ada@owner.example, everybody@evil.example"),
        ("address", "nobody"),
        ("address", ""),
        ("address", "Ada <ada@owner.example>"),
    ],
)
def test_headers_cannot_be_injected(field: str, value: str) -> None:
    mail = msgspec.structs.replace(MAIL, **{field: value})

    with pytest.raises(MailRefusedError):
        compose(mail)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1:2525", ("smtp", "127.0.0.1", 2525, "", "")),
        ("smtp://mail.example", ("smtp", "mail.example", 25, "", "")),
        ("smtps://a%40b:p%2Fw@mail.example", ("smtps", "mail.example", 465, "a@b", "p/w")),
        ("smtp+starttls://u:p@mail.example", ("smtp+starttls", "mail.example", 587, "u", "p")),
    ],
)
def test_the_address_of_a_mail_server_is_read(url: str, expected: tuple[Any, ...]) -> None:
    server = parse_smtp_url(url)

    assert (server.scheme, server.host, server.port, server.user, server.password) == expected


@pytest.mark.parametrize(
    "url",
    ["mail.example", "http://mail.example", "smtp://", "smtp://u:p@mail.example", "smtp://h:x"],
)
def test_another_address_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_smtp_url(url)

    assert "u:p" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    server = MailServer(scheme="smtps", host="h", port=465, user="u", password="secret")

    assert "secret" not in repr(server)


def test_the_message_id_belongs_to_event_and_address() -> None:
    one = message_id(SENDER, event_key="ticket:1:opened", address="a@b.c")

    assert one == message_id(SENDER, event_key="ticket:1:opened", address="a@b.c")
    assert one != message_id(SENDER, event_key="ticket:2:opened", address="a@b.c")
    assert one != message_id(SENDER, event_key="ticket:1:opened", address="d@b.c")
    other = msgspec.structs.replace(SENDER, key=b"x" * 32)
    assert one != message_id(other, event_key="ticket:1:opened", address="a@b.c")
    assert one.endswith("@northwarm.example>")


def test_an_invitation_keeps_its_lines_short_and_its_text_harmless() -> None:
    text = visit_calendar(
        work_order_id=4,
        domain="northwarm.example",
        starts_at=NOON,
        ends_at=NOON,
        title="Größe; " * 30 + "\r\nATTENDEE:evil",
        place="a, b\\c",
        sequence=2,
        status="CONFIRMED",
        now=NOON,
    )

    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert "\r\nATTENDEE" not in text
    assert "UID:work-order-4@northwarm.example\r\nSEQUENCE:2" in text
    assert "LOCATION:a\\, b\\\\c\r\n" in text
