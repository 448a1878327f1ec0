from datetime import timedelta

import httpx
import psycopg
import pytest

from api import accounts, entry
from api.commands import entry_url
from maintenance.service import sign_link
from tests.fixtures.site import PASSWORD, Site, csrf_of

OWNER = "owner0@example.org"


def enter_link(site: Site) -> str:
    with psycopg.connect(site.settings.database_url) as connection:
        account = accounts.account_by_email(connection, "maker@example.org")
    assert account is not None
    token = entry.sign_entry(site.settings.key, account, now=site.clock())
    return f"/enter/{token}"


def test_a_token_works_until_the_session_is_ended(shown: Site) -> None:
    client = shown.program(OWNER)
    assert client.get("/api/v1/devices").status_code == 200

    assert client.delete("/api/v1/session").status_code == 204

    assert client.get("/api/v1/devices").status_code == 401


def test_a_session_ends_after_seven_days(site: Site) -> None:
    client = site.program(OWNER)

    site.clock.advance(timedelta(days=7))

    assert client.get("/api/v1/devices").status_code == 401


def test_the_database_knows_no_token(shown: Site) -> None:
    client = shown.program(OWNER)
    token = client.headers["authorization"].removeprefix("Bearer ")

    stored = shown.rows("select token_hash, csrf_token from api.session")

    assert len(token) >= 43
    assert all(token not in str(row) for row in stored)


def test_a_cookie_that_was_set_before_signing_in_does_not_become_a_session(shown: Site) -> None:
    client = shown.visitor()
    client.cookies.set("forecare", "planted")

    answer = client.post("/sign-in", data={"email": OWNER, "password": PASSWORD})

    cookie = answer.headers["set-cookie"]
    assert "planted" not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_the_wrong_password_and_an_unknown_address_look_the_same(site: Site) -> None:
    wrong = site.visitor().post("/api/v1/session", json={"email": OWNER, "password": "wrong"})
    unknown = site.visitor().post("/api/v1/session", json={"email": "x@y.zz", "password": "wrong"})

    assert [wrong.status_code, unknown.status_code] == [401, 401]
    assert wrong.json()["message"] == unknown.json()["message"]


def test_guessing_is_slowed_down_and_never_locks_out_for_good(site: Site) -> None:
    client = site.visitor()

    def attempt(password: str) -> httpx.Response:
        headers = {"X-Forwarded-For": "203.0.113.9"}
        body = {"email": OWNER, "password": password}
        return client.post("/api/v1/session", json=body, headers=headers)

    guesses = [attempt("wrong").status_code for _ in range(11)]
    right_but_late = attempt(PASSWORD).status_code
    site.clock.advance(timedelta(minutes=2))
    after_a_pause = attempt(PASSWORD).status_code

    assert guesses == [401] * 10 + [429]
    assert right_but_late == 429
    assert after_a_pause == 200


def test_a_disabled_account_is_out_at_once(site: Site) -> None:
    client = site.program(OWNER)

    site.change("update api.account set disabled_at = now() where email = %s", OWNER)

    assert client.get("/api/v1/devices").status_code == 401
    again = site.visitor().post("/api/v1/session", json={"email": OWNER, "password": PASSWORD})
    assert again.status_code == 401


def test_each_role_starts_on_its_own_page(shown: Site) -> None:
    starts = {
        "maker@example.org": "/fleet",
        "tech0@example.org": "/work",
        OWNER: "/home",
    }
    for email, page in starts.items():
        client = shown.browser(email)
        assert client.get("/").headers["location"] == page
        assert client.get(page).status_code == 200


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_signing_in_never_leads_to_another_site(shown: Site, target: str) -> None:
    form = {"email": OWNER, "password": PASSWORD, "next": target}

    answer = shown.visitor().post("/sign-in", data=form)

    assert answer.headers["location"] == "/home"


def test_signing_in_leads_back_to_where_one_wanted_to_go(shown: Site) -> None:
    client = shown.visitor()
    asked = client.get("/devices/hp-0000")

    form = {"email": OWNER, "password": PASSWORD, "next": "/devices/hp-0000"}
    answer = client.post("/sign-in", data=form)

    assert asked.headers["location"] == "/sign-in?next=/devices/hp-0000"
    assert answer.headers["location"] == "/devices/hp-0000"


def test_signing_out_ends_the_session_also_for_a_stolen_cookie(shown: Site) -> None:
    client = shown.browser(OWNER)
    stolen = dict(client.cookies)

    client.post("/sign-out", data={"csrf_token": csrf_of(client.get("/home"))})

    assert shown.visitor(stolen).get("/home").status_code == 303


def test_a_demo_link_shows_one_button_and_signs_in_on_its_post_only(shown: Site) -> None:
    client = shown.visitor()
    link = enter_link(shown)

    page = client.get(link)
    before = client.get("/fleet").status_code
    entered = client.post(link)

    assert "Enter as Manufacturer" in page.text
    assert before == 303
    assert entered.headers["location"] == "/fleet"
    assert client.get("/fleet").status_code == 200


def test_a_demo_link_ends_after_seven_days_or_with_the_password(site: Site) -> None:
    old, changed = enter_link(site), enter_link(site)
    site.change(
        "update api.account set password_hash = 'another' where email = 'maker@example.org'"
    )
    assert site.visitor().post(changed).status_code == 404

    site.clock.advance(timedelta(days=7))
    assert site.visitor().post(old).status_code == 404


@pytest.mark.parametrize("token", ["x", "W10.x", "a" * 399])
def test_a_made_up_demo_link_is_unknown(shown: Site, token: str) -> None:
    assert shown.visitor().get(f"/enter/{token}").status_code == 404


def test_a_link_to_a_ticket_is_no_demo_link(shown: Site) -> None:
    token = sign_link(shown.settings.key, ticket_id=1)

    assert shown.visitor().post(f"/enter/{token}").status_code == 404


def test_the_printed_demo_link_starts_with_the_public_address(shown: Site) -> None:
    with psycopg.connect(shown.settings.database_url) as connection:
        account = accounts.account_by_email(connection, OWNER)
    assert account is not None

    assert entry_url(shown.settings, account).startswith(f"{shown.url}/enter/")
