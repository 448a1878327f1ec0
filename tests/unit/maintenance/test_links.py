"""Links that need no login name one ticket and cannot be changed into another."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from core.errors import NotFoundError
from maintenance.links import AGE_MAX_S, Link, link_url, read_link, sign_link

KEY = b"k" * 32


@given(st.integers(1, 2**31), st.none() | st.integers(1, 2**31))
def test_a_link_leads_back_to_its_ticket(ticket_id: int, owner_id: int | None) -> None:
    token = sign_link(KEY, ticket_id=ticket_id, owner_id=owner_id)

    assert read_link(KEY, token=token) == Link(ticket_id=ticket_id, owner_id=owner_id)
    assert re.fullmatch(r"[A-Za-z0-9._-]{10,80}", token)


@given(st.integers(0, 60), st.characters(codec="ascii"))
def test_a_changed_link_leads_nowhere(place: int, character: str) -> None:
    token = sign_link(KEY, ticket_id=12)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed == token:
        return

    try:
        link = read_link(KEY, token=changed)
    except NotFoundError:
        return
    # The last character of a base64 text carries bits that mean nothing.
    assert link.ticket_id == 12


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "x" * 1_000_000, "MQ..", "\x00", "é"])
def test_nonsense_leads_nowhere(token: str) -> None:
    with pytest.raises(NotFoundError):
        read_link(KEY, token=token)


def test_a_token_of_another_purpose_or_key_leads_nowhere() -> None:
    other_purpose = URLSafeTimedSerializer(KEY, salt="session").dumps(12)
    other_key = sign_link(b"x" * 32, ticket_id=12)

    for token in (str(other_purpose), other_key):
        with pytest.raises(NotFoundError):
            read_link(KEY, token=token)


def test_a_link_ends_after_90_days(monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign_link(KEY, ticket_id=12)
    signed_at = TimestampSigner(KEY).get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: signed_at + AGE_MAX_S + 5)

    with pytest.raises(NotFoundError):
        read_link(KEY, token=token)


def test_the_address_is_short() -> None:
    token = sign_link(KEY, ticket_id=12)

    assert link_url("https://care.example", token) == f"https://care.example/t/{token}"
    assert len(token) < 60
