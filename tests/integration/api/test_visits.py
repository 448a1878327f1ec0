"""From a message's link to a booked visit, and from the visit to a finding."""

import httpx

from maintenance.service import sign_link
from tests.fixtures.site import Site, csrf_of

FAN = "0:fan_bearing"


def link(site: Site, key: str = FAN) -> str:
    return sign_link(site.settings.key, ticket_id=site.fleet.ticket_ids[key])


def book(client: httpx.Client, token: str, slot: dict[str, object]) -> httpx.Response:
    body = {"starts_at": slot["starts_at"], "technician_id": slot["technician_id"]}
    return client.post(f"/api/v1/links/{token}/appointment", json=body)


def test_an_owner_books_a_visit_through_the_link_without_signing_in(site: Site) -> None:
    client, token = site.visitor(), link(site)
    offered = client.get(f"/api/v1/links/{token}").json()

    booked = book(client, token, offered["slots"][0])

    assert booked.status_code == 201
    after = client.get(f"/api/v1/links/{token}").json()
    assert after["ticket"]["state"] == "scheduled"
    assert after["appointment"]["starts_at"] == offered["slots"][0]["starts_at"]
    assert after["slots"] == []


def test_people_see_when_the_newest_forecast_expects_the_failure(site: Site) -> None:
    ticket = site.fleet.ticket_ids["0:fan_bearing"]
    before = site.visitor().get(f"/t/{link(site)}").text
    site.change(
        "update maintenance.ticket set fails_from = fails_from - interval '20 days',"
        " fails_until = fails_until - interval '20 days' where id = %s",
        ticket,
    )

    owner = site.visitor().get(f"/t/{link(site)}").text
    maker = site.browser("maker@example.org").get(f"/tickets/{ticket}").text

    assert "1 and 9 December" in before
    assert "1 and 9 December" in owner
    assert "1 – 9 Dec" in maker
    assert "11 – 19 Nov when it was opened" in maker


def test_a_chart_that_stands_alone_names_its_metric(site: Site) -> None:
    for page in (
        site.visitor().get(f"/t/{link(site)}"),
        site.browser("maker@example.org").get(f"/tickets/{site.fleet.ticket_ids['0:fan_bearing']}"),
    ):
        assert "<b>Fan vibration</b>" in page.text


def test_opening_a_link_changes_nothing(site: Site) -> None:
    before = site.rows("select count(*) from maintenance.history")

    for _ in range(3):
        site.visitor().get(f"/t/{link(site)}")
        site.visitor().head(f"/t/{link(site)}")

    assert site.rows("select count(*) from maintenance.history") == before
    assert site.rows("select count(*) from maintenance.appointment where state = 'confirmed'") == [
        (4,)
    ]


def test_of_two_who_want_the_same_time_one_is_told_that_somebody_was_faster(site: Site) -> None:
    client = site.visitor()
    slot = client.get(f"/api/v1/links/{link(site)}").json()["slots"][0]
    first = book(client, link(site), slot)

    second = book(client, link(site, "7:compressor_wear"), slot)

    assert first.status_code == 201
    assert second.status_code == 409
    assert second.json()["error"] == "conflict"


def test_the_page_behind_the_link_books_moves_and_cancels(site: Site) -> None:
    client, page = site.visitor(), f"/t/{link(site)}"
    slots = client.get(f"/api/v1/links/{link(site)}").json()["slots"]
    chosen = [f"{slot['starts_at']}|{slot['technician_id']}" for slot in slots]

    shown = client.get(page)
    booked = client.post(f"{page}/visit", data={"slot": chosen[0]})
    moved = client.post(f"{page}/visit", data={"slot": chosen[3]})
    after = client.get(page)
    cancelled = client.post(f"{page}/visit/cancel")

    assert "Choose a visit" in shown.text
    assert [booked.status_code, moved.status_code, cancelled.status_code] == [303, 303, 303]
    assert "Change time" in after.text
    assert "Choose a visit" in client.get(page).text


def test_a_messages_link_to_one_time_has_that_time_chosen(site: Site) -> None:
    client, page = site.visitor(), f"/t/{link(site)}"
    wished = client.get(f"/api/v1/links/{link(site)}").json()["slots"][4]

    shown = client.get(
        page, params={"at": wished["starts_at"], "technician": wished["technician_id"]}
    )
    starts_at = wished["starts_at"].replace("Z", "+00:00")

    assert f'value="{starts_at}|{wished["technician_id"]}" checked' in shown.text
    assert client.get(page, params={"at": "garbage"}).status_code == 422


def test_a_time_that_is_gone_is_said_on_the_page_and_others_are_offered(site: Site) -> None:
    client = site.visitor()
    slot = client.get(f"/api/v1/links/{link(site)}").json()["slots"][0]
    book(client, link(site), slot)
    other = f"/t/{link(site, '7:compressor_wear')}/visit"

    answer = client.post(other, data={"slot": f"{slot['starts_at']}|{slot['technician_id']}"})

    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
    assert "Book this visit" in answer.text


def test_a_changed_link_is_unknown_and_says_nothing_about_others(site: Site) -> None:
    token = link(site)
    signature = token.rpartition(".")[2]
    turned = token.replace(signature, signature[::-1])
    for wrong in (turned, "x" * 40, token + "x" * 300):
        assert site.visitor().get(f"/api/v1/links/{wrong}").status_code in (404, 422)
        assert site.visitor().get(f"/t/{wrong}").status_code in (404, 422)


def test_a_slot_that_nobody_offered_is_refused(site: Site) -> None:
    for slot in ("2020-01-01T00:00:00+00:00|1", "garbage", "2026-11-26T09:00:00|1", "|"):
        answer = site.visitor().post(f"/t/{link(site)}/visit", data={"slot": slot})
        assert answer.status_code in (409, 422)


def test_a_technician_works_through_a_job_with_a_browser(site: Site) -> None:
    client = site.browser("tech0@example.org")
    order = site.fleet.work_order_ids["1:compressor_wear"]
    page = f"/work/{order}"
    secret = csrf_of(client.get(page))

    began = client.post(f"{page}/start", data={"csrf_token": secret})
    closed = client.post(
        f"{page}/finding",
        data={
            "csrf_token": secret,
            "verdict": "incipient",
            "component": "compressor",
            "note": "Bearing play.",
            "part": ["NW-CMP-90", "NW-R290-1"],
            "quantity": ["2", "0"],
            "checklist": ["Replace the compressor"],
        },
    )

    assert [began.status_code, closed.status_code] == [303, 303]
    found = site.rows(
        "select verdict, parts, checklist_done, recorded_by from maintenance.finding"
        " where work_order_id = %s",
        order,
    )
    technician = f"technician:{site.fleet.technician_ids[0]}"
    assert found == [
        ("incipient", ["2 × NW-CMP-90"], ["Replace the compressor"], technician),
    ]
    assert "Beginning wear found" in client.get(page).text


def test_a_finding_over_the_interface_closes_the_ticket_and_counts_as_prevented(site: Site) -> None:
    maker = site.program("maker@example.org")
    order = site.fleet.work_order_ids["1:compressor_wear"]
    finding = {
        "verdict": "confirmed",
        "component": "compressor",
        "note": "",
        "parts": [{"part": "NW-CMP-90", "quantity": 1}],
        "checklist_done": [],
        "found_at": "2026-11-24T12:00:00Z",
    }

    answer = site.program("tech0@example.org").post(
        f"/api/v1/work-orders/{order}/finding", json=finding
    )

    assert answer.status_code == 201
    ticket = site.fleet.ticket_ids["1:compressor_wear"]
    assert maker.get(f"/api/v1/tickets/{ticket}").json()["ticket"]["state"] == "resolved"
    fleet = site.browser("maker@example.org").get("/fleet").text
    assert ">3 <small>of 4 checked" in fleet


def test_a_ticket_is_seen_and_cancelled_with_a_reason_that_stays(site: Site) -> None:
    maker = site.browser("maker@example.org")
    ticket = site.fleet.ticket_ids[FAN]
    secret = csrf_of(maker.get(f"/tickets/{ticket}"))

    seen = maker.post(f"/tickets/{ticket}/acknowledge", data={"csrf_token": secret})
    cancelled = maker.post(
        f"/tickets/{ticket}/cancel", data={"csrf_token": secret, "reason": "device was sold"}
    )

    assert [seen.status_code, cancelled.status_code] == [303, 303]
    assert "device was sold" in maker.get(f"/tickets/{ticket}").text
