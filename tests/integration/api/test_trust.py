"""What is known of how far warnings can be trusted, for programs and on the pages."""

from tests.fixtures.site import Site

HINT = "Warnings of this kind were wrong too often, so this one opens no ticket"
NEXT_STEP = "Looked at on the next visit"


def test_rules_are_listed_with_their_count(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    demoted, full = maker.get("/api/v1/products/heat_pump/rules").json()["items"]

    assert (demoted["failure_mode"], demoted["standing"]) == (
        "fan_bearing",
        "inspect_at_next_visit",
    )
    assert (demoted["false_alarms"], demoted["right_alarms"]) == (14, 2)
    assert demoted["evidence"] > 20
    assert demoted["sentences"][0]["key"] == "demoted"
    assert demoted["sentences"][0]["values"]["false"] == 14
    assert demoted["sentences"][0]["text"] == (
        "Fan bearing wear: 14 of 16 warnings were wrong in 18.0 device-years, 2.7 were to be expected."
    )
    assert (full["failure_mode"], full["standing"]) == ("refrigerant_leak", "full")


def test_rules_are_for_the_manufacturer(shown: Site) -> None:
    owner = shown.program("owner0@example.org")

    assert owner.get("/api/v1/products/heat_pump/rules").status_code == 403
    assert owner.get("/api/v1/devices/hp-0000/decisions").status_code == 403


def test_drift_is_listed_with_its_figures_what_has_drifted_first(shown: Site) -> None:
    maker = shown.program("maker@example.org")
    path = "/api/v1/products/heat_pump/drift"

    items = maker.get(path).json()["items"]
    steady = maker.get(path, params={"state": "steady"}).json()["items"]

    assert [(item["kind"], item["state"]) for item in items] == [
        ("calibration", "drifted"),
        ("metric", "drifted"),
        ("metric", "steady"),
    ]
    assert items[0]["title"] == "Fan bearing wear"
    assert (
        items[0]["sentences"][1]["text"] == "The forecasts expect too few failures, beyond chance."
    )
    assert [item["name"] for item in steady] == ["power_w"]
    assert maker.get(path, params={"state": "odd"}).status_code == 422
    assert shown.program("owner0@example.org").get(path).status_code == 403


def test_a_decision_says_why_there_is_no_ticket(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    (decision,) = maker.get("/api/v1/devices/hp-0005/decisions").json()["items"]

    assert (decision["action"], decision["reason"]) == ("inspect", "rule_demoted")
    assert decision["sentence"].startswith(HINT)


def test_pages_name_the_rule_and_the_device_that_it_leaves_to_the_next_visit(shown: Site) -> None:
    maker = shown.browser("maker@example.org")

    fleet = maker.get("/fleet").text
    device = maker.get("/devices/hp-0005?part=fan_bearing").text

    assert "14 of 16 warnings were wrong in 18.0 device-years" in fleet
    assert "forecare anomaly reinstate heat_pump fan_bearing" in fleet
    assert HINT in device
    assert NEXT_STEP in device
    assert "0.21 mm/s higher, 1.4 times as wide, on 38 of 40 devices" in fleet
    assert "Power is as it was learned" not in fleet


def test_the_fleet_page_tells_calm_from_not_knowing(site: Site) -> None:
    maker = site.browser("maker@example.org")
    site.change("update anomaly.drift set state = 'unclear' where state = 'drifted'")
    some = maker.get("/fleet").text
    site.change("update anomaly.drift set state = 'unclear'")
    none = maker.get("/fleet").text
    site.change("update anomaly.drift set state = 'steady'")
    calm = maker.get("/fleet").text

    assert "Of some metrics or forecasts nobody can tell yet" in some
    assert "Nobody can tell yet whether metrics and forecasts" in none
    assert "All metrics and forecasts are as they were learned" in calm


def test_the_next_step_of_a_part_whose_rule_is_demoted_is_the_next_visit(site: Site) -> None:
    warned = "/fleet?q=hp-0005"
    site.change(
        "update anomaly.forecast set status = 'declining', p_fail_30d = 0.5 where device_id ="
        " (select id from gateway.device where name = 'hp-0005') and failure_mode = 'fan_bearing'"
    )

    left = site.browser("maker@example.org").get(warned).text
    site.change("update maintenance.decision set action = 'none', reason = 'waiting_is_cheaper'")
    watched = site.browser("maker@example.org").get(warned).text
    device = site.browser("maker@example.org").get("/devices/hp-0005?part=fan_bearing").text

    assert (left.count(NEXT_STEP), left.count("Watching")) == (1, 0)
    assert (watched.count(NEXT_STEP), watched.count("Watching")) == (0, 1)
    assert NEXT_STEP not in device


def test_owners_are_not_told_of_visits_that_nobody_has_planned(site: Site) -> None:
    site.change(
        "update maintenance.decision set action = 'inspect' where device_id ="
        " (select id from gateway.device where name = 'hp-0000')"
    )
    site.change("update maintenance.ticket set closed_at = opened_at, state = 'cancelled'")

    ours = site.browser("maker@example.org").get("/devices/hp-0000").text
    theirs = site.browser("owner0@example.org").get("/devices/hp-0000").text

    assert NEXT_STEP in ours
    assert NEXT_STEP not in theirs


def test_a_device_that_is_learned_says_for_how_long_to_everybody(site: Site) -> None:
    site.change(
        "update ingest.progress set first_measured_at = measured_through - interval '4 days 5 hours'"
    )
    site.change("update anomaly.forecast set status = 'learning', p_fail_30d = null")
    site.change("update maintenance.alert set cleared_at = opened_at")
    said = "Learning what is normal, 4 of 10 days"

    home = site.browser("owner0@example.org").get("/home").text
    device = site.browser("owner0@example.org").get("/devices/hp-0000").text
    job = site.browser("tech0@example.org").get("/work/2").text
    row = site.program("owner0@example.org").get("/api/v1/devices/hp-0000").json()["device"]

    assert said in home
    assert said in device
    assert said in job
    assert row["level"] == "learning"
    assert (row["learning_watched_days"], row["learning_needed_days"]) == (4, 10)


def test_a_device_that_has_just_begun_to_report_is_learned_and_not_invisible(site: Site) -> None:
    site.change("delete from anomaly.forecast")
    site.change("update maintenance.alert set cleared_at = opened_at")
    site.change("update ingest.progress set first_measured_at = measured_through")

    home = site.browser("owner0@example.org").get("/home").text
    row = site.program("owner0@example.org").get("/api/v1/devices/hp-0000").json()["device"]

    assert "Learning what is normal, 0 of 10 days" in home
    assert "We cannot see it right now" not in home
    assert row["level"] == "learning"


def test_a_device_that_is_judged_learns_no_more(shown: Site) -> None:
    row = shown.program("owner0@example.org").get("/api/v1/devices/hp-0000").json()["device"]

    assert (row["learning_watched_days"], row["learning_needed_days"]) == (None, None)
