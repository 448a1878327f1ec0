"""What owners read, and what hostile names cannot do to it."""

from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import notices
from maintenance.case import TrackRecord
from maintenance.mail import Mail, compose
from maintenance.notices import Notice, VisitTime, one_line
from maintenance.slots import Slot
from tests.fixtures.maintenance import (
    EVIDENCE,
    NOON,
    make_case,
    make_mode,
    make_owner,
    make_product,
)

LINK = "http://127.0.0.1:8000/t/MQ.abc.def"
SLOT = Slot(
    starts_at=NOON + timedelta(days=2, hours=-5),
    ends_at=NOON + timedelta(days=2, hours=-3),
    technician_id=3,
    technician_name="Tom",
)
HOSTILE = [
    "<script>alert(1)</script>",
    "Ada\r\nBcc: everybody@evil.example",
    "\u202egnirts desrever",
    "{{ 7 * 7 }}{% include 'frame.html' %}",
    '" onmouseover="alert(1)',
    "\nhttp://evil.example/t/token\n",
    "http://evil.example/t/token",
    "x" * 10_000,
    "\u2028line\u2029paragraph\x00null",
]


def write(**changes: object) -> Notice:
    return notices.visit_needed(make_case(**changes), slots=[SLOT], link=LINK)


def test_the_subject_says_action_state_and_device() -> None:
    assert write().subject == "Plan a visit: the fan bearing is wearing out (Heat pump Aria 9)"


def test_the_window_is_two_dates_in_the_site_s_time() -> None:
    assert "between 29 November and 11 December" in write().text


@pytest.mark.parametrize(
    ("days", "words"), [(0, "between 29"), (8, "before 11 December"), (30, "any day now")]
)
def test_the_window_never_lies_in_the_past(days: int, words: str) -> None:
    assert words in write(event_now=NOON + timedelta(days=days)).text


def test_the_link_stands_on_a_line_of_its_own() -> None:
    assert LINK in write().text.splitlines()


def test_slots_are_named_and_lead_to_the_page_with_the_time_chosen() -> None:
    notice = write()

    assert "Wed 25 Nov, 08:00 – 10:00" in notice.text
    assert f"{LINK}?at=2026-11-25T07%3A00%3A00%2B00%3A00&amp;technician=3" in notice.html


def test_the_zone_is_named_where_the_owner_lives_in_another_one() -> None:
    notice = write(owner=make_owner(timezone="America/New_York"))

    assert "08:00 – 10:00 (CET)" in notice.text


def test_the_warranty_decides_what_the_owner_pays() -> None:
    assert "you pay €0" in write(is_covered=True).text
    assert "about €390, parts included" in write(is_covered=False).text


def test_operating_conditions_take_no_room_from_what_an_owner_needs() -> None:
    lines = [
        {"key": key, "values": {}, "text": f"Told of {key}."}
        for key in ("above", "operating", "similar", "record")
    ]

    text = write(evidence={"sentences": lines}).text

    assert "Told of record." in text
    assert "Told of operating." not in text


def test_evidence_and_track_record_say_why() -> None:
    notice = write(track_record=TrackRecord(right=54, inspected=61))

    assert EVIDENCE in notice.text
    assert "Of the last 61 warnings like this that a technician looked at, 54 were right." in (
        notice.text
    )


def test_a_short_track_record_is_not_boasted_with() -> None:
    assert "were right" not in write(track_record=TrackRecord(right=2, inspected=2)).text


def test_a_failed_device_is_not_said_to_be_fine() -> None:
    notice = write(kind="corrective", level="act")

    assert notice.subject.startswith("Act now: ")
    assert "fine today" not in notice.text
    assert "will probably fail" not in notice.text


def test_self_care_steps_are_told() -> None:
    mode = make_mode(remedy=("Open the flap", "Rinse the filter"))

    assert " 2. Rinse the filter" in write(mode=mode).text


def test_a_booked_visit_tells_when_and_who() -> None:
    visit = VisitTime(starts_at=SLOT.starts_at, ends_at=SLOT.ends_at, technician_name="Tom Weber")

    notice = notices.booked(make_case(), visit=visit, link=LINK, calendar="BEGIN:VCALENDAR")

    assert notice.subject == "Visit booked: Wed 25 Nov, 08:00 – 10:00 (Heat pump Aria 9)"
    assert "Tom Weber comes" in notice.text
    assert LINK in notice.text.splitlines()
    assert notice.calendar is not None


@pytest.mark.parametrize(
    "reason",
    [
        "confirmed",
        "incipient",
        "other_fault",
        "no_fault_found",
        "not_inspected",
        "recovered",
        "cancelled",
    ],
)
def test_every_ending_has_its_words(reason: str) -> None:
    notice = notices.closed(make_case(), reason=reason, component="fan", parts=["P-1"], note="dry")

    assert "The ticket is closed." not in notice.text
    assert "dry" in notice.html


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    product = make_product(title=name, manufacturer=name)
    mode = make_mode(plain=name, until_then=name, stop_if=name, remedy=(name,))
    case = make_case(
        product=product,
        mode=mode,
        title=name,
        owner=make_owner(name=name),
        address=name,
        serial=name,
        evidence={"sentences": [name]},
    )
    visit = VisitTime(starts_at=SLOT.starts_at, ends_at=SLOT.ends_at, technician_name=name)

    for notice in (
        notices.visit_needed(case, slots=[SLOT], link=LINK),
        notices.booked(case, visit=visit, link=LINK, calendar=None),
        notices.visit_cancelled(case, visit=visit, link=LINK, calendar=None),
        notices.closed(case, reason="confirmed", component=name, parts=[name], note=name),
    ):
        assert notice.subject.isprintable()
        assert len(notice.subject) <= 150
        assert "49" not in notice.subject
        assert _Tags.of(notice.html) <= _Tags.ALLOWED
        assert {line for line in notice.text.splitlines() if _is_only_a_link(line)} <= {LINK}
        mail = compose(_mail(notice))
        assert "everybody" not in str(mail["To"])
        assert mail["Bcc"] is None


@given(st.text(max_size=300))
def test_a_line_stays_a_line(text: str) -> None:
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert len(line) <= 120
    assert not any(ord(character) < 32 for character in line)


@pytest.mark.parametrize("locale", ["", "de", "xx-YY", "en-US", "en_GB\r\nX: y", "!" * 50])
def test_any_locale_renders(locale: str) -> None:
    assert write(owner=make_owner(locale=locale, timezone="No/Where")).text


def _mail(notice: Notice) -> Mail:
    return Mail(
        sender="Northwarm <care@northwarm.example>",
        address="ada@owner.example",
        subject=notice.subject,
        text=notice.text,
        html=notice.html,
        calendar=notice.calendar,
        message_id="<1@northwarm.example>",
        created_at=NOON,
    )


def _is_only_a_link(line: str) -> bool:
    return line.strip().startswith("http") and len(line.split()) == 1


class _Tags(HTMLParser):
    """Collects elements with their handlers: a hostile name must add none."""

    ALLOWED = frozenset(
        "html head meta title body div table tr td p span h1 strong a ol li br".split()  # noqa: SIM905
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    @classmethod
    def of(cls, html: str) -> set[str]:
        parser = cls()
        parser.feed(html)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.found |= {name for name, _ in attrs if name.startswith("on")}
