"""Settings and commands over REST and by the forms of the page."""

import json
from typing import Any

import pytest

from tests.fixtures.site import Site, csrf_of

DEVICE = "/api/v1/devices/hp-0000"
MAKER = "maker@example.org"


def test_a_configuration_is_changed_on_top_of_what_was_seen(site: Site) -> None:
    maker = site.program(MAKER)
    seen = maker.get(f"{DEVICE}/config").json()
    body = {"desired": {"curve_offset_k": 1.5}, "expected_version": seen["version"]}

    first = maker.patch(f"{DEVICE}/config", json=body)
    second = maker.patch(f"{DEVICE}/config", json=body | {"desired": {"curve_offset_k": 2}})
    changes = maker.get(f"{DEVICE}/config/changes").json()["items"]

    assert first.status_code == 200
    assert first.json()["desired"]["curve_offset_k"] == 1.5
    assert second.status_code == 409
    assert changes[0]["patch"] == {"curve_offset_k": 1.5}
    assert changes[0]["actor"].startswith("manufacturer:")


def test_a_product_is_configured_below_its_devices(site: Site) -> None:
    maker = site.program(MAKER)
    maker.patch(f"{DEVICE}/config", json={"desired": {"curve_offset_k": 1}})

    answer = maker.patch(
        "/api/v1/products/heat_pump/config", json={"desired": {"curve_offset_k": -1}}
    )

    assert answer.json()["desired"] == {"curve_offset_k": -1}
    assert maker.get("/api/v1/products/heat_pump/config").json() == answer.json()
    assert maker.get(f"{DEVICE}/config").json()["desired"]["curve_offset_k"] == 1
    other = maker.get("/api/v1/devices/hp-0001/config").json()
    assert other["desired"]["curve_offset_k"] == -1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"desired": []},
        {"desired": {"curve_offset_k": 99}},
        {"desired": {"curve": 1}},
        {"desired": {"curve_offset_k": "\ud800"}},
        {"desired": {"\ud800": 1}},
        {"desired": {"curve_offset_k": 2**90}},
        {"desired": {}, "expected_version": -1},
        {"desired": {}, "more": 1},
    ],
)
def test_what_cannot_be_wanted_is_refused_with_a_sentence(shown: Site, body: Any) -> None:
    # Escaped, since half of a surrogate pair cannot be sent in any other way.
    headers = {"content-type": "application/json"}
    answer = shown.program(MAKER).patch(
        f"{DEVICE}/config", content=json.dumps(body), headers=headers
    )

    assert answer.status_code == 422
    assert answer.json()["message"]


def test_a_command_is_given_followed_and_taken_back(site: Site) -> None:
    maker = site.program(MAKER)
    body = {"name": "identify", "args": {"seconds": 30}, "id": "c-from-a-program"}

    given = maker.post(f"{DEVICE}/commands", json=body)
    again = maker.post(f"{DEVICE}/commands", json=body)
    listed = maker.get(f"{DEVICE}/commands").json()["items"]
    taken_back = maker.post(f"{DEVICE}/commands/c-from-a-program/cancel")

    assert given.status_code == 201
    assert again.json() == given.json() == listed[0]
    assert taken_back.json()["state"] == "cancelled"
    assert maker.get(f"{DEVICE}/commands/c-from-a-program").json() == taken_back.json()
    assert maker.get("/api/v1/devices/hp-0001/commands/c-from-a-program").status_code == 404
    assert maker.post(f"{DEVICE}/commands", json={"name": "explode"}).status_code == 422


def test_the_page_changes_a_setting_and_sends_a_command(site: Site) -> None:
    browser = site.browser(MAKER)
    page = browser.get("/devices/hp-0000/settings")
    secret = {"csrf_token": csrf_of(page)}
    version = site.program(MAKER).get(f"{DEVICE}/config").json()["version"]
    change = {"key": "curve_offset_k", "value": "2.5", "expected_version": version} | secret

    changed = browser.post("/devices/hp-0000/settings", data=change)
    behind = browser.post("/devices/hp-0000/settings", data=change | {"value": "3"})
    told = browser.post(
        "/devices/hp-0000/commands", data={"command": "identify", "args": "seconds=5"} | secret
    )
    after = browser.get("/devices/hp-0000/settings").text
    panel = browser.get("/devices/hp-0000").text

    assert (changed.status_code, behind.status_code, told.status_code) == (303, 409, 303)
    assert "2.5 K" in after
    assert "Queued" in after
    assert "Take back" in after
    assert "Not confirmed yet" in panel
    assert "Last command" in panel


def test_a_form_that_is_refused_comes_back_with_the_reason_and_what_was_typed(site: Site) -> None:
    browser = site.browser(MAKER)
    secret = {"csrf_token": csrf_of(browser.get("/devices/hp-0000/settings"))}
    change = {"key": "curve_offset_k", "value": "99", "expected_version": 1} | secret
    command = {"command": "identify", "args": "in a moment"} | secret

    changed = browser.post("/devices/hp-0000/settings", data=change)
    told = browser.post("/devices/hp-0000/commands", data=command)

    assert (changed.status_code, told.status_code) == (422, 422)
    assert "must be at most 5 K, but is 99" in changed.text
    assert 'value="99"' in changed.text
    assert "is no key=value" in told.text
    assert 'value="in a moment"' in told.text


def test_an_owner_sees_no_settings(shown: Site) -> None:
    owner = shown.browser("owner0@example.org")

    assert owner.get("/devices/hp-0000/settings").status_code == 403
    assert "Change, or send a command" not in owner.get("/devices/hp-0000").text
