"""Groups of devices that stand out, for programs and on the manufacturer's page."""

from tests.fixtures.site import Site


def test_issues_are_listed_with_what_is_at_stake_and_in_words(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    flagged, watched = maker.get("/api/v1/products/heat_pump/emerging-issues").json()["items"]

    assert (flagged["state"], flagged["trait"], flagged["value"]) == ("flagged", "lot", "2025-W19")
    assert (flagged["failures"], flagged["devices"], flagged["well"]) == (9, 40, 31)
    assert flagged["sentences"][0]["text"] == (
        "Lot 2025-W19: 9 of 40 devices failed (fan bearing wear), 1.1 expected at this age;"
        " since 15 October."
    )
    assert flagged["shared_with"][0]["value"] == "4.2.0"
    assert (watched["state"], watched["failure_mode"]) == ("watched", "refrigerant_leak")


def test_issues_can_be_narrowed_to_a_state(shown: Site) -> None:
    maker = shown.program("maker@example.org")
    path = "/api/v1/products/heat_pump/emerging-issues"

    watched = maker.get(path, params={"state": "watched"}).json()["items"]

    assert [issue["value"] for issue in watched] == ["Freiburg"]
    assert maker.get(path, params={"state": "cleared"}).json()["items"] == []
    assert maker.get(path, params={"state": "odd"}).status_code == 422


def test_an_unknown_product_has_no_issues_but_an_answer(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    assert maker.get("/api/v1/products/nothing/emerging-issues").status_code == 404


def test_owners_do_not_see_which_lots_are_bad(shown: Site) -> None:
    owner = shown.program("owner0@example.org")

    assert owner.get("/api/v1/products/heat_pump/emerging-issues").status_code == 403


def test_the_fleet_page_names_the_group_and_leads_to_its_devices(shown: Site) -> None:
    page = shown.browser("maker@example.org").get("/fleet").text

    assert "Lot 2025-W19: 9 of 40 devices failed" in page
    assert "The same 40 devices also share firmware 4.2.0" in page
    assert 'href="/devices?q=2025-W19"' in page
    assert "1 group is watched" in page


def test_a_fleet_without_an_issue_says_so(site: Site) -> None:
    site.change("delete from anomaly.emerging_issue_change")
    site.change("delete from anomaly.emerging_issue")

    page = site.browser("maker@example.org").get("/fleet").text

    assert "No lot, firmware or city fails more often than others of the same age." in page
