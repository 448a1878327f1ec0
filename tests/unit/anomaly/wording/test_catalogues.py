"""Every catalogue says all that English says, with the same values."""

import string
from datetime import datetime

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from anomaly import evidence
from anomaly.drift.calibration import Calibration
from anomaly.drift.inputs import Shift
from anomaly.drift.words import say_calibration, say_shift
from anomaly.fleet import words as fleet
from anomaly.fleet.overlap import Overlap
from anomaly.fleet.standing import Group, Standing
from anomaly.fleet.words import say
from anomaly.records import Sentence
from anomaly.rules.count import Tally
from anomaly.rules.words import say_reinstated, say_standing
from anomaly.wording.message import LANGUAGES, po_file, voice_of
from anomaly.wording.service import messages, said
from tests.unit.anomaly.bench import PUMP
from tests.unit.anomaly.test_evidence import metric

TRANSLATED = LANGUAGES[1:]


def catalogue(language: str) -> Catalog:
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated_in_all_its_forms_and_nothing_else_is(language: str) -> None:
    known = catalogue(language)
    entries = {entry.context: entry for entry in known if entry.id}

    assert set(entries) == set(messages())
    assert not [context for context, entry in entries.items() if entry.fuzzy]
    for context, message in messages().items():
        forms = entries[context].string
        wanted = known.num_plurals if message.by else 1
        forms = forms if isinstance(forms, tuple) else (forms,)
        assert len(forms) == wanted, context
        assert all(forms), context


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_values_of_its_message(language: str) -> None:
    for entry in catalogue(language):
        if not entry.id:
            continue
        message = messages()[entry.context]
        forms = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        for form in forms:
            assert placeholders(form) == placeholders(message.text), entry.context


def test_both_forms_of_a_message_have_the_same_values() -> None:
    for context, message in messages().items():
        assert bool(message.by) == bool(message.many), context
        if message.many:
            assert placeholders(message.many) == placeholders(message.text), context
            assert message.by in placeholders(message.text), context
        assert {*message.numbers, *message.days} <= placeholders(message.text), context


DAY = "2026-11-12T06:00:00+00:00"


def everything() -> list[tuple[str, Sentence]]:
    """At least one sentence of each key, with values as they are made."""
    return [*of_devices(), *of_groups(), *of_drift(), *of_rules()]


def of_devices() -> list[tuple[str, Sentence]]:
    found: list[tuple[str, Sentence]] = []
    plain = {
        "title": "Fan vibration", "mode": "Fan bearing wear", "code": 7, "conversion": "1000 x",
        "day": DAY, "component": "fan", "percent": 40, "days": 30, "failures": 1,
    }  # fmt: skip
    parts = {
        "operating_part",
        "rising",
        "similar_failed",
        "similar_worn",
        "similar_nothing",
        "after",
        "between",
    }
    made = {"above", "below", "operating", "similar", "record"}
    for key, message in evidence.MESSAGES.items():
        if key not in parts | made:
            values = {name: plain[name] for name in placeholders(message.text)}
            found.append(("evidence", evidence.sentence(key, **values)))
    found += [("evidence", evidence.metric_sentence(metric(observed=o))) for o in (2.1, 0.3)]
    found.append(
        (
            "evidence",
            evidence.similar_sentence(
                cases=6, failed=3, first_days=9, last_days=21, worn=1, nothing=2
            ),
        )
    )
    conditions = [("Compressor speed", 54.89, "Hz"), ("Valve", 0.5, "")]
    found.append(("evidence", evidence.operating_sentence(conditions)))
    found.append(("evidence", evidence.record_sentence(low=0.7, high=0.9, cases=1, right=1)))
    return found


def of_groups() -> list[tuple[str, Sentence]]:
    found: list[tuple[str, Sentence]] = []
    for failures, signs in ((9, 3), (0, 8)):
        for place, kind in enumerate(("inseparable", "explained_by", "explains", "apart")):
            trait = ("lot", "firmware", "city", "product")[place]
            standing = Standing(
                group=Group(mode="fan_bearing", trait=trait, value="4.2"), devices=40, well=31,
                failures=failures, expected=1.1, signs=signs, expected_signs=2.4, ratio=7.6,
                ratio_low=3.5, ratio_high=14.4, signs_low=0.9, log_evidence=4.0, since_day=20.0,
            )  # fmt: skip
            overlap = Overlap(trait=trait, value="B7", shared=40, devices=43, kind=kind)
            for reason in (
                "stands_out", "may_stand_out", "back_to_normal", "none_left", "within_chance",
            ):  # fmt: skip
                lines = say(
                    standing, reason=reason, mode="Fan bearing wear",
                    since=datetime.fromisoformat(DAY), overlaps=[overlap],
                )  # fmt: skip
                found += [("fleet", line) for line in lines]
    return found


def of_drift() -> list[tuple[str, Sentence]]:
    found: list[tuple[str, Sentence]] = []
    pump = PUMP.metrics[0]
    for shift in (0.21, -0.21):
        moved = Shift(
            index=0.61, shift=shift, spread_ratio=1.4, width=0.2, devices=40, agree=38, chance=0.0
        )
        for state in ("drifted", "steady", "unclear"):
            for is_condition in (True, False):
                lines = say_shift(pump, moved, state=state, is_condition=is_condition)
                found += [("drift", line) for line in lines]
    for direction, has_drifted in (("too_few", True), ("too_many", True), ("too_few", False)):
        off = Calibration(
            forecasts=480, expected=4.1, observed=13, evidence=310.0, direction=direction,
            has_drifted=has_drifted,
        )  # fmt: skip
        found += [("drift", line) for line in say_calibration(PUMP.failure_modes[0], off)]
    return [*found, *(("drift", s) for s in say_calibration(PUMP.failure_modes[0], None))]


def of_rules() -> list[tuple[str, Sentence]]:
    found: list[tuple[str, Sentence]] = []
    many = Tally(right=2, false=14, waiting=1)
    for counted, is_demoted in ((many, True), (many, False), (Tally(), False)):
        lines = say_standing(
            "Fan bearing wear", counted, device_years=18.0, budget=0.15, is_demoted=is_demoted
        )
        found += [("rules", line) for line in lines]
    return [*found, ("rules", say_reinstated("a new sensor"))]


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_that_is_made_is_said_in_the_language(language: str) -> None:
    parts = {
        "operating_part", "rising", "similar_failed", "similar_worn", "similar_nothing", "after",
        "between", "since",
        "lot", "firmware", "city", "product", "higher", "lower", "wider",
    }  # fmt: skip
    made = everything()

    told = [
        said(domain, {"key": s.key, "values": s.values, "text": s.text}, language=language)
        for domain, s in made
    ]

    whole = {context for context in messages() if context.partition(".")[2] not in parts}
    assert {f"{domain}.{s.key}" for domain, s in made} == whole
    assert {one.language for one in told} == {language}
    assert not [one for one, (_, s) in zip(told, made, strict=True) if one.text == s.text]
    assert not [one.text for one in told if "{" in one.text]


def test_german_has_its_own_plurals_numbers_and_days() -> None:
    def german(sentence: Sentence, domain: str = "evidence") -> str:
        kept = {"key": sentence.key, "values": sentence.values, "text": sentence.text}
        return said(domain, kept, language="de").text

    one = evidence.similar_sentence(cases=1, failed=1, first_days=1, last_days=1, worn=0, nothing=0)
    many = evidence.similar_sentence(
        cases=6, failed=3, first_days=9.2, last_days=20.7, worn=1, nothing=2
    )

    assert german(one) == "Von 1 früheren Fall, der so aussah: 1 fiel nach 1 Tag aus."
    assert german(many) == (
        "Von 6 früheren Fällen, die so aussahen: 3 fielen nach 9 bis 21 Tagen aus,"
        " 1 wurde bei einem Besuch verschlissen vorgefunden, 2 blieben ohne Folgen."
    )
    assert german(evidence.metric_sentence(metric())) == (
        "Fan vibration liegt bei 2,10 mm/s, 0,90 über dem, was unter diesen Bedingungen normal ist;"
        " der Wert entfernt sich seit dem 12. Nov. davon."
    )
    assert fleet.group_name("lot", "B7", voice_of("de")) == "Charge B7"
    assert fleet.group_name("colour", "red", voice_of("de")) == "Colour red"


@pytest.mark.parametrize(
    "kept",
    [
        {"key": "above", "values": {"title": "X", "since": "; it has been so"}, "text": "As it was."},
        {"key": "learning", "values": {"day": "12 Nov"}, "text": "As it was."},
        {"key": "unheard_of", "values": {}, "text": "As it was."},
        {"text": "As it was."},
    ],
)  # fmt: skip
def test_what_an_earlier_version_kept_stays_as_it_was_said(kept: dict[str, object]) -> None:
    told = said("evidence", kept, language="de")

    assert (told.text, told.language) == ("As it was.", "en")


def test_a_language_that_nobody_translated_is_english() -> None:
    made = evidence.sentence("all_normal")

    told = said("evidence", {"key": made.key, "values": {}, "text": made.text}, language="tlh")

    assert (told.text, told.language) == (made.text, "en")
    assert voice_of("tlh").language == "en"
