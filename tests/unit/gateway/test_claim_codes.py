"""Codes on labels: short, readable, and safe against a slip of the finger."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.claims.codes import LENGTH, derive_code, read_code, shown_code
from gateway.claims.labels import Label, claim_url, labels_html, labels_svg, qr_png
from gateway.claims.service import ClaimCode

KEY = b"k" * 32
ids = st.integers(1, 2**40)


@given(ids, st.integers(0, 1000))
def test_a_code_reads_back_however_it_is_typed(device_id: int, turn: int) -> None:
    code = derive_code(KEY, device_id=device_id, turn=turn)

    shown = shown_code(code)
    typed = [shown, shown.lower(), f" {code} ", shown.replace("-", " ")]
    typed += [shown.replace("0", "O").replace("1", "l")]
    assert {read_code(text) for text in typed} == {code}
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", shown)


@given(ids, st.integers(0, LENGTH - 1), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_one_wrong_character_is_always_found(device_id: int, place: int, character: str) -> None:
    code = derive_code(KEY, device_id=device_id, turn=0)
    wrong = code[:place] + character + code[place + 1 :]
    if wrong == code:
        return

    with pytest.raises(InvalidError, match="one character"):
        read_code(wrong)


@given(st.text(max_size=40))
def test_any_text_is_a_code_or_says_that_it_is_none(text: str) -> None:
    try:
        code = read_code(text)
    except InvalidError:
        return
    assert len(code) == LENGTH


@given(ids, ids)
def test_every_device_and_every_turn_has_another_code(one: int, other: int) -> None:
    codes = [
        derive_code(key, device_id=device, turn=turn)
        for key in (KEY, b"x" * 32)
        for device in {one, other}
        for turn in (0, 1)
    ]

    assert len(set(codes)) == len(codes)


def label(name: str = "hp-0001", title: str = "Heat pump") -> Label:
    code = derive_code(KEY, device_id=1, turn=0)
    claim = ClaimCode(device=name, serial="S<1>", product_title=title, code=code)
    return Label(claim=claim, url=claim_url("https://care.example", code))


def test_a_label_shows_the_name_the_serial_number_and_the_code() -> None:
    drawn = labels_svg([label(title='"Pump" & <b>')])

    words = [element.text for element in ET.fromstring(drawn).iter() if element.text]
    assert '"Pump" & <b>' in words
    assert "Serial S<1>" in words
    assert shown_code(label().claim.code) in words


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_sheet_holds_every_label(count: int) -> None:
    labels = [label(f"hp-{i}") for i in range(count)]

    assert labels_html(labels).count("<li>") == count
    sheet = ET.fromstring(labels_svg(labels))
    assert len([e for e in sheet if e.tag.endswith("g")]) == count


def test_a_qr_code_is_a_picture() -> None:
    assert qr_png("https://care.example/claim/x").startswith(b"\x89PNG")
