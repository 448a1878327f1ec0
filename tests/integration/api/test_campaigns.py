"""Firmware campaigns, as programs and people of the manufacturer handle them."""

from tests.fixtures.site import Site, csrf_of

MAKER = "maker@example.org"


def test_a_campaign_is_planned_started_and_paused_by_a_program(site: Site) -> None:
    maker = site.program(MAKER)
    plan = {"product": "heat_pump", "version": "4.4.0", "stages": [0.5, 1], "lots": ["0417"]}
    for number in (1, 2):
        maker.post(f"/api/v1/campaigns/{number}/cancel", json={"reason": "make room"})

    made = maker.post("/api/v1/campaigns", json=plan)
    number = made.json()["id"]
    started = maker.post(f"/api/v1/campaigns/{number}/start")
    paused = maker.post(f"/api/v1/campaigns/{number}/pause", json={"reason": "holidays"})
    found = maker.get(f"/api/v1/campaigns/{number}").json()

    assert [made.status_code, started.status_code, paused.status_code] == [201, 204, 204]
    assert (found["campaign"]["state"], found["campaign"]["reason"]) == ("paused", "holidays")
    assert found["campaign"]["devices"] == {"waiting": 2}
    assert [e["action"] for e in found["events"]] == ["paused", "started", "created"]
    devices = maker.get(f"/api/v1/campaigns/{number}/devices?state=waiting").json()["items"]
    assert [d["lot"] for d in devices] == ["0417", "0417"]


def test_a_campaign_that_shares_devices_with_another_one_is_not_started(site: Site) -> None:
    answer = site.program(MAKER).post("/api/v1/campaigns/3/start")

    assert answer.status_code == 409
    assert "in campaign 2" in answer.json()["message"]


def test_a_version_without_an_image_is_refused_with_a_hint(shown: Site) -> None:
    plan = {"product": "heat_pump", "version": "9.9"}

    answer = shown.program(MAKER).post("/api/v1/campaigns", json=plan)

    assert answer.status_code == 404
    assert "no firmware 9.9" in answer.json()["message"]


def test_stages_that_do_not_rise_are_refused(shown: Site) -> None:
    plan = {"product": "heat_pump", "version": "4.4.0", "stages": [0.5, 0.2, 1]}

    answer = shown.program(MAKER).post("/api/v1/campaigns", json=plan)

    assert answer.status_code == 422
    assert "stages" in answer.json()["message"]


def test_the_images_are_listed_with_digest_and_key(shown: Site) -> None:
    items = shown.program(MAKER).get("/api/v1/firmware?product=heat_pump").json()["items"]

    assert [item["version"] for item in items] == ["4.4.0", "4.3.0", "4.3.0-rc1"]
    assert all(len(item["sha256"]) == 64 and item["chunks"] == 13 for item in items)


def test_the_page_of_a_stopped_campaign_says_why(shown: Site) -> None:
    text = shown.browser(MAKER).get("/campaigns/1").text

    assert "Stopped by itself" in text
    assert "5 devices with a detection in 40 device-days after 4.3.0-rc1 against 2 in 400" in text


def test_a_person_goes_on_in_spite_of_a_stop_and_that_is_kept(site: Site) -> None:
    maker = site.browser(MAKER)
    secret = csrf_of(maker.get("/campaigns/1"))

    answer = maker.post("/campaigns/1/resume", data={"csrf_token": secret})

    assert answer.status_code == 303
    text = maker.get("/campaigns/1").text
    assert "in spite of the automatic stop" in text
    ((raised, reached),) = site.rows(
        "select stop_from_e, (verdict ->> 'detections_e')::float from gateway.campaign where id = 1"
    )
    assert raised == 10 * float(str(reached))


def test_a_person_cancels_a_campaign_with_a_reason(site: Site) -> None:
    maker = site.browser(MAKER)
    secret = csrf_of(maker.get("/campaigns/2"))

    maker.post("/campaigns/2/cancel", data={"csrf_token": secret, "reason": "Wrong image"})

    assert site.rows("select state, reason from gateway.campaign where id = 2") == [
        ("cancelled", "Wrong image")
    ]
    states = site.rows(
        "select state, is_withdrawn, count(*) from gateway.campaign_device where campaign_id = 2"
        " group by 1, 2 order by 1, 2"
    )
    assert states == [
        ("failed", False, 1),
        ("installed", False, 2),
        ("rolled_back", False, 1),
        ("skipped", False, 6),
        ("skipped", True, 2),
    ]


def test_owners_and_technicians_see_no_campaigns(shown: Site) -> None:
    for email in ("owner0@example.org", "tech0@example.org"):
        assert shown.browser(email).get("/campaigns").status_code == 403
        assert shown.program(email).get("/api/v1/campaigns").status_code == 403
