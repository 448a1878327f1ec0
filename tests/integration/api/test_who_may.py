"""Every route times every role, and what belongs to somebody else."""

import httpx
import pytest

from api.accounts import ROLES
from api.app import all_routes
from api.auth import Caller, Public, Reader, Writer, policy_of
from maintenance.service import sign_link
from tests.fixtures.site import Site, csrf_of

EMAIL = {
    "manufacturer": "maker@example.org",
    "owner": "owner0@example.org",
    "technician": "tech0@example.org",
}
FOREIGN_DEVICE = "hp-0001"  # of owner 1, and with a visit by technician 0


def a_call(site: Site, path: str) -> str:
    """Fill a route's placeholders with things that exist."""
    for name, value in {
        "{token}": sign_link(site.settings.key, ticket_id=site.fleet.ticket_ids["0:fan_bearing"]),
        "{product}": "heat_pump",
        "{name}": "hp-0000",
        "{device}": FOREIGN_DEVICE,
        "{ticket_id}": str(site.fleet.ticket_ids["0:fan_bearing"]),
        "{work_order_id}": str(site.fleet.work_order_ids["1:compressor_wear"]),
        "{letter_id}": "1",
        "{campaign_id}": "1",
        "{command_id}": "c-nothing-yet",
        "{key}": "nothing",
        "{version}": "0",
        "{name:path}": "app.css",
    }.items():
        path = path.replace(name, value)
    return path


def test_every_route_lets_in_its_roles_and_nobody_else(site: Site) -> None:
    programs = {role: site.program(EMAIL[role]) for role in ROLES}
    browsers = {role: site.browser(EMAIL[role]) for role in ROLES}
    nobody = site.visitor()
    wrong = []
    for route in all_routes():
        policy = policy_of(route)
        if isinstance(policy, Public | None):
            continue
        assert isinstance(policy, Caller | Reader | Writer)
        method, path = min(route.methods or ()), a_call(site, route.path)
        if "session" in path or "sign-out" in path:
            continue
        answer = nobody.request(method, path)
        refused = 401 if isinstance(policy, Caller) else 303
        if answer.status_code != refused:
            wrong.append((method, path, "nobody", answer.status_code))
        for role in ROLES:
            client = programs[role] if isinstance(policy, Caller) else browsers[role]
            answer = client.request(method, path)
            is_refused = answer.status_code == 403
            # A form without its secret is refused too; that it is the secret is tested elsewhere.
            if isinstance(policy, Writer):
                continue
            if is_refused != (role not in policy.roles) or answer.status_code in (401, 500):
                wrong.append((method, path, role, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/devices/{FOREIGN_DEVICE}",
        f"/api/v1/devices/{FOREIGN_DEVICE}/samples?metric=power_w",
        f"/api/v1/devices/{FOREIGN_DEVICE}/detections",
        f"/api/v1/devices/{FOREIGN_DEVICE}/forecasts",
        "/api/v1/devices/hp-9999",
    ],
)
def test_a_foreign_device_is_as_unknown_as_one_that_does_not_exist(shown: Site, path: str) -> None:
    answer = shown.program("owner0@example.org").get(path)

    assert answer.status_code == 404
    assert answer.json()["message"] == "there is no such device, or it is not yours to see"


def test_an_owner_lists_only_own_devices_and_tickets(shown: Site) -> None:
    owner = shown.program("owner0@example.org")

    devices = owner.get("/api/v1/devices").json()["items"]
    tickets = owner.get("/api/v1/tickets").json()["items"]

    assert [d["name"] for d in devices] == ["hp-0000"]
    assert {t["device"] for t in tickets} == {"hp-0000"}


def test_a_foreign_ticket_can_be_neither_seen_nor_booked(shown: Site) -> None:
    owner = shown.program("owner1@example.org")
    ticket = shown.fleet.ticket_ids["0:fan_bearing"]
    booking = {"starts_at": "2026-11-26T09:00:00Z", "technician_id": 1}

    seen = owner.get(f"/api/v1/tickets/{ticket}")
    slots = owner.get(f"/api/v1/tickets/{ticket}/slots")
    booked = owner.post(f"/api/v1/tickets/{ticket}/appointment", json=booking)

    assert [r.status_code for r in (seen, slots, booked)] == [404, 404, 404]
    assert shown.rows("select state from maintenance.ticket where id = %s", ticket) == [("open",)]


def test_a_technician_sees_own_work_and_its_devices_only(shown: Site) -> None:
    mine, other = shown.program("tech0@example.org"), shown.program("tech1@example.org")
    order = shown.fleet.work_order_ids["1:compressor_wear"]

    assert len(mine.get("/api/v1/work-orders").json()["items"]) == 7
    assert other.get("/api/v1/work-orders").json()["items"] == []
    assert other.get(f"/api/v1/work-orders/{order}").status_code == 404
    assert mine.get("/api/v1/devices/hp-0001").status_code == 200
    assert mine.get("/api/v1/devices/hp-0000").status_code == 404


def test_another_technician_cannot_record_a_finding(shown: Site) -> None:
    order = shown.fleet.work_order_ids["1:compressor_wear"]
    finding = {"verdict": "confirmed", "found_at": "2026-11-24T12:00:00Z"}

    answer = shown.program("tech1@example.org").post(
        f"/api/v1/work-orders/{order}/finding", json=finding
    )

    assert answer.status_code == 404
    assert shown.rows("select 1 from maintenance.finding where work_order_id = %s", order) == []


def test_what_a_visit_costs_us_is_not_told_to_owners(shown: Site) -> None:
    path = f"/api/v1/tickets/{shown.fleet.ticket_ids['0:fan_bearing']}"

    told_owner = shown.program("owner0@example.org").get(path).json()["evidence"]
    told_us = shown.program("maker@example.org").get(path).json()["evidence"]

    assert told_owner["cost_of_waiting"] is None
    assert told_us["cost_of_waiting"] > 0


def test_a_form_without_its_secret_changes_nothing(shown: Site) -> None:
    maker = shown.browser("maker@example.org")
    ticket = shown.fleet.ticket_ids["0:fan_bearing"]

    without = maker.post(f"/tickets/{ticket}/cancel", data={"reason": "no"})
    foreign = maker.post(f"/tickets/{ticket}/cancel", data={"reason": "no", "csrf_token": "x" * 43})

    assert [without.status_code, foreign.status_code] == [403, 403]
    assert shown.rows("select state from maintenance.ticket where id = %s", ticket) == [("open",)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_changes_nothing(shown: Site, headers: dict[str, str]) -> None:
    maker = shown.browser("maker@example.org")
    ticket = shown.fleet.ticket_ids["0:fan_bearing"]
    secret = csrf_of(maker.get(f"/tickets/{ticket}"))

    answer = maker.post(
        f"/tickets/{ticket}/cancel", data={"reason": "no", "csrf_token": secret}, headers=headers
    )

    assert answer.status_code == 403
    assert shown.rows("select state from maintenance.ticket where id = %s", ticket) == [("open",)]


def test_a_cookie_alone_lets_a_script_read_but_never_write(shown: Site) -> None:
    maker = shown.browser("maker@example.org")

    assert maker.get("/api/v1/devices/hp-0000").status_code == 200
    assert maker.post("/api/v1/tickets/1/cancel", json={"reason": "no"}).status_code == 401


def test_pages_cannot_be_framed_and_run_no_foreign_script(shown: Site) -> None:
    for answer in (shown.visitor().get("/sign-in"), shown.visitor().get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_an_unknown_page_is_a_designed_one_with_a_reference(shown: Site) -> None:
    answer = shown.browser("maker@example.org").get("/nothing")

    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    assert "Reference" in answer.text


def test_an_unknown_address_of_the_interface_answers_in_json(shown: Site) -> None:
    answer = shown.visitor().get("/api/v1/nothing")

    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"
    assert len(answer.json()["reference"]) == 8


def test_a_body_without_end_is_cut_off(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    declared = maker.post("/api/v1/products", content=b"x" * 5_000_000)
    try:
        chunked = maker.post("/api/v1/products", content=(b"x" * 65536 for _ in range(100)))
        status = chunked.status_code
    except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
        status = 413

    assert declared.status_code == 413
    assert status in (400, 413)
