"""What the interface and the pages show."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from core.pool import connect
from core.product import product_to_json
from maintenance.service import sign_link
from tests.fixtures.site import EVENT_NOW, Site

EVIL = "<img src=x onerror=alert(1)>{{7*7}}</script>"
PAGES = {
    "maker@example.org": (
        "/fleet",
        "/fleet?q=aydin&level=plan&product=heat_pump&rows=3",
        "/fleet?q=nobody",
        "/devices",
        "/devices?q=hp&after=hp-0003",
        "/devices/hp-0000",
        "/devices/hp-0000?part=filter_clogged&metric=fan_current_a&raw=power_w&days=30",
        "/devices/hp-0011",
        "/devices/hp-0011/settings",
        "/tickets",
        "/tickets?state=unfinished",
        "/tickets?state=resolved&before=8",
        "/dead-letters",
        "/inbox",
        *(f"/tickets/{number}" for number in range(1, 10)),
    ),
    "owner0@example.org": ("/home", "/devices/hp-0000"),
    "tech0@example.org": ("/work", *(f"/work/{number}" for number in (2, 3, 4, 5, 7, 8, 9))),
}


@pytest.mark.parametrize("email", PAGES)
def test_every_page_is_shown(shown: Site, email: str) -> None:
    client = shown.browser(email)

    answers = {path: client.get(path).status_code for path in PAGES[email]}

    assert set(answers.values()) == {200}, answers


def test_the_page_of_every_ticket_is_shown_to_its_owner(shown: Site) -> None:
    for ticket_id in shown.fleet.ticket_ids.values():
        token = sign_link(shown.settings.key, ticket_id=ticket_id)
        assert shown.visitor().get(f"/t/{token}").status_code == 200


def test_what_devices_and_people_write_is_shown_as_text(site: Site) -> None:
    site.change("update gateway.owner set name = %s", EVIL)
    site.change("update gateway.site set access_note = %s, city = %s", EVIL, EVIL)
    site.change(
        "update gateway.device set serial = %s || id, firmware = %s, lot = %s", EVIL, EVIL, EVIL
    )
    site.change("update maintenance.ticket set title = %s", EVIL)
    site.change("update maintenance.work_order set title = %s", EVIL)
    site.change("update maintenance.finding set note = %s", EVIL)
    site.change("update ingest.dead_letter set detail = %s, device_name = %s", EVIL, EVIL)
    site.change(
        "update anomaly.forecast set evidence = jsonb_build_object('sentences', jsonb_build_array(%s::text))",
        EVIL,
    )
    texts = []
    for email, paths in PAGES.items():
        client = site.browser(email)
        texts += [client.get(path).text for path in paths]
    token = sign_link(site.settings.key, ticket_id=site.fleet.ticket_ids["0:fan_bearing"])
    texts.append(site.visitor().get(f"/t/{token}").text)

    assert sum("&lt;img src=x" in text for text in texts) >= 12
    assert not any("<img src=x" in text or "49</script>" in text for text in texts)


def test_hostile_names_of_a_product_stay_text_also_inside_a_chart(site: Site) -> None:
    product = site.fleet.product
    metrics = tuple(msgspec.structs.replace(m, title=EVIL, unit=EVIL) for m in product.metrics)
    hostile = msgspec.structs.replace(product, metrics=metrics, title=EVIL)
    site.change("update gateway.product set sheet = %s, title = %s", product_to_json(hostile), EVIL)

    page = site.browser("maker@example.org").get("/devices/hp-0000").text

    assert "<img src=x" not in page
    assert "\\u003cimg src=x" in page


def test_an_inner_error_is_told_without_its_inside(shown: Site) -> None:
    answer = shown.program("maker@example.org").get(
        "/api/v1/devices/hp-0000/samples?metric=nothing"
    )
    typo = shown.program("maker@example.org").get('/api/v1/devices?limit=1000000000&after="')

    assert answer.status_code == 404
    assert typo.status_code == 422
    assert "Traceback" not in typo.text


def test_thinned_samples_keep_lowest_and_highest_and_their_gap(site: Site) -> None:
    device_id = site.fleet.device_ids[0]
    peak = EVENT_NOW - timedelta(hours=60)
    site.change(
        "update telemetry.heat_pump set power_w = 11999 where device_id = %s and measured_at = %s",
        device_id,
        peak,
    )
    everything = site.rows(
        "select min(power_w), max(power_w) from telemetry.heat_pump where device_id = %s", device_id
    )

    answer = site.program("owner0@example.org").get(
        "/api/v1/devices/hp-0000/samples",
        params={"metric": "power_w", "points": 50, "from": "2026-11-20T00:00:00Z"},
    )

    items = answer.json()["items"]
    found = [item for item in items if item["low"] is not None]
    assert len(items) < 60
    assert answer.json()["unit"] == "W"
    assert min(item["low"] for item in found) == pytest.approx(everything[0][0])
    assert max(item["high"] for item in found) == 11999
    assert any(item["low"] is None for item in items)


def test_a_metric_is_a_value_and_never_part_of_a_query(shown: Site) -> None:
    client = shown.program("maker@example.org")
    for metric in ("power_w from telemetry.heat_pump; drop table api.account --", '"', "device_id"):
        answer = client.get("/api/v1/devices/hp-0000/samples", params={"metric": metric})
        assert answer.status_code in (404, 422)
    assert shown.rows("select count(*) from api.account") == [(5,)]


def test_pages_of_a_list_join_without_a_hole(shown: Site) -> None:
    client = shown.program("maker@example.org")
    names: list[str] = []
    after = None
    while True:
        parameters = {"limit": 5} | ({"after": after} if after else {})
        page = client.get("/api/v1/devices", params=parameters).json()
        names += [item["name"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break

    assert names == [f"hp-{n:04}" for n in range(12)]


def test_a_silent_device_does_not_hold_up_the_progress_of_the_others(site: Site) -> None:
    client = site.program("maker@example.org")
    silent_since = EVENT_NOW - timedelta(days=2)

    progress = client.get("/api/v1/progress/heat_pump").json()

    assert progress["devices"] == 12
    assert progress["stored_through"] == (EVENT_NOW - timedelta(hours=12)).isoformat().replace(
        "+00:00", "Z"
    )
    site.change(
        "update ingest.progress set measured_through = %s - interval '1 hour'"
        " where measured_through = %s",
        EVENT_NOW,
        silent_since,
    )
    assert client.get("/api/v1/progress/heat_pump").json()["stored_through"] == (
        EVENT_NOW - timedelta(hours=1)
    ).isoformat().replace("+00:00", "Z")


def test_there_is_no_progress_before_any_data(site: Site) -> None:
    site.change("delete from ingest.progress")
    site.change("delete from anomaly.scorer_state")
    site.change("delete from maintenance.decision_progress")

    progress = site.program("maker@example.org").get("/api/v1/progress/heat_pump").json()

    assert [progress[f"{stage}_through"] for stage in ("stored", "scored", "decided")] == [None] * 3


def test_connected_and_reporting_are_two_facts(site: Site) -> None:
    site.change("update gateway.presence set is_connected = true")
    client = site.program("maker@example.org")

    silent = client.get("/api/v1/devices/hp-0011").json()["device"]
    fine = client.get("/api/v1/devices/hp-0000").json()["device"]

    assert (silent["is_connected"], silent["is_reporting"]) == (True, False)
    assert (fine["is_connected"], fine["is_reporting"]) == (True, True)


def test_a_device_falls_silent_an_hour_after_its_last_data(site: Site) -> None:
    client = site.program("maker@example.org")

    site.clock.advance(timedelta(hours=1))

    assert not client.get("/api/v1/devices/hp-0000").json()["device"]["is_reporting"]


def test_the_fleet_is_ranked_by_what_it_costs_to_do_nothing(shown: Site) -> None:
    page = shown.browser("maker@example.org").get("/fleet").text

    order = [page.index(f"/devices/{name}?part=") for name in ("hp-0007", "hp-0001", "hp-0003")]
    assert order == sorted(order)
    assert "6 <small>of 12</small>" in page


def test_a_fleet_that_learns_says_for_how_long(site: Site) -> None:
    site.change("delete from anomaly.forecast")
    site.change("delete from anomaly.scorer_state")
    site.change("delete from anomaly.baseline")
    site.change(
        "update ingest.progress set first_measured_at = measured_through - interval '4 days'"
    )

    page = site.browser("maker@example.org").get("/fleet").text

    assert "Learning what is normal, 4 of 10 days" in page


def test_an_installation_without_devices_says_what_to_do(site: Site) -> None:
    site.change("update gateway.device set retired_at = now()")

    page = site.browser("maker@example.org").get("/fleet").text

    assert "No device has been delivered yet." in page


def test_the_description_of_the_interface_is_for_those_who_are_signed_in(shown: Site) -> None:
    described = shown.program("owner0@example.org").get("/api/v1/openapi.json").json()

    assert shown.visitor().get("/api/v1/openapi.json").status_code == 401
    assert "/api/v1/devices/{name}/samples" in described["paths"]
    assert "/fleet" not in described["paths"]


def test_alive_and_ready_are_told_to_anybody(shown: Site) -> None:
    client = shown.visitor()

    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json()["status"] == "ready"


def test_assets_may_be_kept_for_ever_under_their_own_address_only(shown: Site) -> None:
    page = shown.visitor().get("/sign-in").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]

    now = shown.visitor().get(address)
    old = shown.visitor().get("/static/0123456789abcdef/app.css")

    assert "immutable" in now.headers["cache-control"]
    assert old.headers["cache-control"] == "no-cache"
    assert shown.visitor().get("/static/x/../../pyproject.toml").status_code == 404


MAIL = b"""From: care@forecare.example\r
To: owner0@example.org\r
Subject: Plan a visit <script>alert(1)</script>\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Hello</p><script>alert(2)</script>\r
"""


def test_a_message_is_shown_in_a_frame_that_runs_nothing(site: Site) -> None:
    new = Path(site.settings.inbox_dir) / "new"
    new.mkdir(parents=True)
    (new / "1.M1.host").write_bytes(MAIL)
    client = site.browser("maker@example.org")

    listed = client.get("/inbox")
    page = client.get("/inbox/1.M1.host")
    body = client.get("/inbox/1.M1.host/body")

    assert "Plan a visit &lt;script&gt;" in listed.text
    assert 'sandbox="allow-popups' in page.text
    policy = body.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script" not in policy
    assert client.get("/inbox/..%2F..%2Fsecret_key").status_code == 404


def test_a_wrong_clock_and_a_limit_that_was_met_are_shown(shown: Site) -> None:
    device_id = shown.fleet.device_ids[0]
    with connect(shown.settings.database_url, name="test") as connection:
        connection.execute(
            "insert into ingest.clock values (%s, interval '3 h 12 min', now(), now(), 5)",
            [device_id],
        )
        connection.execute(
            "insert into ingest.breach (subject, subject_id, counts, allowed, began_at, last_at,"
            " resets_at, messages, metric_values) values ('device', %s, 'messages', '5 per 1 s',"
            " now(), now(), now(), 40, 120)",
            [device_id],
        )

    found = shown.program("owner0@example.org").get("/api/v1/devices/hp-0000/sending").json()
    page = shown.browser("maker@example.org").get("/devices/hp-0000").text

    assert found["clock"]["ahead_seconds"] == 11_520
    assert found["breaches"][0]["messages"] == 40
    assert [limit["counts"] for limit in found["limits"]] == ["messages", "values"]
    assert "Its clock is 3 h 12 min fast" in page
    assert "It sent more messages than allowed (5 per 1 s)" in page
    assert shown.program("owner1@example.org").get(
        "/api/v1/devices/hp-0000/sending"
    ).status_code == 404  # fmt: skip
