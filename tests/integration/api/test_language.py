"""Sentences about devices come in the reader's language, on pages and over REST."""

import re

from maintenance.service import sign_link
from tests.fixtures.site import Site

GERMAN = {"accept-language": "de-DE,de;q=0.9,en;q=0.5"}
VIBRATION = re.compile(r"Fan vibration liegt bei \d+,\d mm/s, \d,\d über dem, was")
ENGLISH = "above what is normal under these conditions"


def test_a_manufacturer_reads_groups_rules_and_drift(shown: Site) -> None:
    maker = shown.browser("maker@example.org")

    page = maker.get("/fleet", headers=GERMAN).text

    assert (
        '<span lang="de">Charge 2025-W19: 9 von 40 Geräten ausgefallen (Fan bearing wear), 1,1 wären in diesem'
        " Alter zu erwarten; seit dem 15. Oktober.</span>"
    ) in page
    assert "14 von 16 Warnungen waren falsch in 18,0 Gerätejahren, 2,7 wären" in page
    assert "0,21 mm/s höher, 1,4-mal so weit gestreut, auf 38 von 40 Geräten" in page
    assert "<code>forecare anomaly fit</code>" in page
    assert "expected at this age" not in page


def test_an_owner_reads_why(shown: Site) -> None:
    owner = shown.browser("owner0@example.org")

    german = owner.get("/devices/hp-0000", headers=GERMAN).text
    english = owner.get("/devices/hp-0000").text

    assert VIBRATION.search(german)
    assert ENGLISH not in german
    assert ENGLISH in english
    assert not VIBRATION.search(english)


def test_a_link_needs_no_setting(shown: Site) -> None:
    ticket_id = shown.fleet.ticket_ids["0:fan_bearing"]
    path = f"/t/{sign_link(shown.settings.key, ticket_id=ticket_id)}"

    german = shown.visitor().get(path, headers=GERMAN).text
    french = shown.visitor().get(path, headers={"accept-language": "fr"}).text

    assert VIBRATION.search(german)
    assert ENGLISH in french


def test_a_technician_reads_why(shown: Site) -> None:
    tech = shown.browser("tech0@example.org")

    german = tech.get("/work/2", headers=GERMAN).text
    english = tech.get("/work/2").text

    assert " was unter diesen Bedingungen normal ist." in german
    assert ENGLISH in english or "below what is normal" in english
    assert "what is normal under these conditions" not in german


def test_programs_get_key_values_and_the_text_in_their_language(shown: Site) -> None:
    maker = shown.program("maker@example.org")
    path = "/api/v1/products/heat_pump/rules"

    german = maker.get(path, headers=GERMAN)
    english = maker.get(path)

    first = german.json()["items"][0]["sentences"][0]
    assert first["key"] == english.json()["items"][0]["sentences"][0]["key"] == "demoted"
    assert first["values"] == english.json()["items"][0]["sentences"][0]["values"]
    assert first["values"]["judged"] == 16
    assert first["language"] == "de"
    assert first["text"].startswith("Fan bearing wear: 14 von 16 Warnungen")
    assert english.json()["items"][0]["sentences"][0]["language"] == "en"
    assert "Accept-Language" in german.headers["vary"]


def test_the_evidence_of_tickets_is_said_again(shown: Site) -> None:
    maker = shown.program("maker@example.org")

    german, english = (
        maker.get("/api/v1/tickets/1", headers=headers).json()["evidence"]["evidence"]
        for headers in (GERMAN, {})
    )

    for kept, language, words in ((german, "de", "normal ist."), (english, "en", "is normal")):
        assert kept["sentences"] == kept["evidence"]["sentences"]
        assert [s["key"] for s in kept["sentences"]] == ["above", "above"]
        assert {s["language"] for s in kept["sentences"]} == {language}
        assert all(words in s["text"] for s in kept["sentences"])


def test_what_an_earlier_version_kept_is_shown_as_it_was_said(site: Site) -> None:
    site.change(
        "update anomaly.rule_standing set sentences ="
        """ '[{"key": "demoted", "values": {"mode": "Fan"}, "text": "Said long ago."}]'"""
    )

    page = site.browser("maker@example.org").get("/fleet", headers=GERMAN).text

    assert "Said long ago." in page
    assert '<span lang="de">Said long ago.' not in page
