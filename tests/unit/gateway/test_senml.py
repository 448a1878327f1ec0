"""SenML is read as RFC 8428 says: its own examples, packs of another implementation, and bad ones."""

import json
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs import CodecError, decode
from gateway.codecs.senml import LABELS, SenmlCbor
from gateway.codecs.units import UnitError, in_sheet_units
from gateway.sheet import parse_sheet
from tests.integration.gateway.sheets import SMALL

NOW_MS = 1_764_000_000_000
PAYLOADS = Path(__file__).parents[2] / "fixtures" / "payloads" / "senml"
KETTLE = parse_sheet(SMALL, source="kettle.toml")


def read(pack: object):  # type: ignore[no-untyped-def]
    return decode(json.dumps(pack).encode(), arrived_ms=NOW_MS)


def test_rfc_8428_section_5_1_2_values_of_one_instant() -> None:
    message = decode(
        b'[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},'
        b'{"n":"current","u":"A","v":1.2}]',
        arrived_ms=NOW_MS,
    )

    assert message.samples == [(NOW_MS, {"voltage": 120.1, "current": 1.2})]
    assert message.units == {"voltage": "V", "current": "A"}
    assert message.boot is None


RFC_SERIES = (
    b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,'
    b'"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2},'
    b'{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},'
    b'{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]'
)


@pytest.mark.parametrize("payload", [RFC_SERIES, (PAYLOADS / "rfc8428.cbor").read_bytes()])
def test_rfc_8428_section_5_1_2_and_6_a_series_with_a_base_time(payload: bytes) -> None:
    message = decode(payload, arrived_ms=NOW_MS)

    at_ms = 1_276_020_076_001
    assert message.samples[0] == (at_ms, {"voltage": 120.1, "current": 1.7})
    assert [ts - at_ms for ts, _ in message.samples[1:]] == [-5000, -4000, -3000, -2000, -1000]
    assert [values["current"] for _, values in message.samples[1:]] == [1.2, 1.3, 1.4, 1.5, 1.6]
    assert message.units == {"voltage": "V", "current": "A"}


def test_rfc_8428_section_5_1_3_one_name_for_three_quantities_is_refused() -> None:
    with pytest.raises(CodecError, match="two values at one time"):
        decode(
            b'[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},'
            b'{"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3}]',
            arrived_ms=NOW_MS,
        )


def test_rfc_8428_section_5_1_5_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CodecError, match="record 1: vs is a text"):
        read(
            [
                {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
                {"n": "label", "vs": "Machine Room"},
                {"n": "open", "vb": False},
                {"n": "nfc-reader", "vd": "aGkgCg"},
            ]
        )


def test_rfc_8428_section_5_1_6_values_of_two_devices_are_refused() -> None:
    with pytest.raises(CodecError, match="values of two things"):
        read(
            [
                {"bn": "2001:db8::2/", "bt": 1.320078429e9, "n": "temperature", "u": "Cel", "v": 25.2},
                {"n": "humidity", "u": "%RH", "v": 30},
                {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
            ]
        )  # fmt: skip


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_packs_of_another_implementation_are_read(form: str) -> None:
    payload = (PAYLOADS / f"kpn_pack.{form}").read_bytes()

    message = in_sheet_units(decode(payload, arrived_ms=NOW_MS), KETTLE)

    assert message.samples == [
        (NOW_MS, {"water_c": 20.5}),
        (NOW_MS + 1000, {"water_c": 21.5}),
        (NOW_MS + 2000, {"water_c": 22.5, "power_w": 1500}),
    ]


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_unit_is_turned_into_the_sheets(form: str) -> None:
    payload = (PAYLOADS / f"kpn_now.{form}").read_bytes()

    message = in_sheet_units(decode(payload, arrived_ms=NOW_MS), KETTLE)

    assert message.samples == [(NOW_MS, {"water_c": pytest.approx(20.5), "boils": 3})]


def test_a_unit_of_another_quantity_is_refused() -> None:
    message = read([{"n": "water_c", "u": "W", "v": 20}])

    with pytest.raises(
        UnitError, match="water_c comes in 'W', and the product sheet has it in '°C'"
    ):
        in_sheet_units(message, KETTLE)


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_a_base_value_is_added(form: str) -> None:
    payload = (PAYLOADS / f"kpn_base.{form}").read_bytes()

    message = decode(payload, arrived_ms=NOW_MS)

    assert message.samples == [(NOW_MS, {"water_c": 20.5, "lid_open": True})]


def test_times_below_2_to_the_28_are_relative_to_now() -> None:
    message = read(
        [{"n": "a", "t": -2.5, "v": 1}, {"n": "a", "t": 2**28, "v": 2}, {"n": "a", "v": 3}]
    )

    assert [ts for ts, _ in message.samples] == [NOW_MS - 2500, 2**28 * 1000, NOW_MS]


def test_a_sum_is_a_metric_of_its_own() -> None:
    message = read([{"n": "power_w", "u": "W", "bs": 100, "s": 20, "v": 5}])

    assert message.samples == [(NOW_MS, {"power_w": 5, "power_w_sum": 120})]
    assert message.units == {"power_w": "W", "power_w_sum": "J"}


def test_bases_may_stand_alone_and_change_on_the_way() -> None:
    message = read(
        [{"bn": "kettle-1/"}, {"n": "a", "v": 1}, {"bt": 1e9}, {"n": "a", "v": 2, "ut": 60}]
    )

    assert message.samples == [(NOW_MS, {"a": 1}), (10**12, {"a": 2})]


@pytest.mark.parametrize(
    ("pack", "why"),
    [
        ([{"n": "a", "v": 1, "x_": 2}], "x_ must be understood"),
        ([{"n": "a", "v": 1, "bver": 11}], "bver 11 is not known"),
        ([{"n": "a", "v": 1, "bver": 10}, {"bver": 5}], "bver is 5 and was 10"),
        ([{"n": "a"}], "neither a value nor a sum"),
        ([{"n": "a", "v": 1, "vb": True}], "v and vb do not go together"),
        ([{"n": "_a", "v": 1}], "is no SenML name"),
        ([{"n": "a b", "v": 1}], "is no SenML name"),
        ([{"v": 1}], "is no SenML name"),
        ([{"n": "a/", "v": 1}], "names no metric"),
        ([{"n": "a", "v": "1"}], "v is no number"),
        ([{"n": "a", "vb": 1}], "vb is neither"),
        ([{"n": "a", "t": 1e300, "v": 1}], "t is no time"),
        ([{"n": "a", "v": 1e308, "bv": 1e308}], "not finite"),
        ([{"n": "a", "u": "V", "v": 1}, {"n": "a", "t": 1, "v": 1}], "comes in 'V' and in ''"),
        ([{"n": "a", "v": 1, "x": {"deep": 1}}], "no SenML"),
        ([{"n": "a", "v": 1}] * 2, "two values at one time"),
    ],
)
def test_what_breaks_the_specification_is_refused_and_named(pack: object, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        read(pack)


def test_unknown_labels_are_ignored_unless_they_must_be_understood() -> None:
    assert read([{"n": "a", "v": 1, "x": "new"}]).samples == [(NOW_MS, {"a": 1})]


@pytest.mark.parametrize(
    "payload",
    [
        b'[{"n":"a","v":1,"v":2}]',
        b'[{"n":"a","v":1,"\\u0076":2}]',
        bytes.fromhex("81a3006161020102 02".replace(" ", "")),
        bytes.fromhex("81a2006161020161"),
        bytes.fromhex("81a200616102c24101"),
        bytes.fromhex("81a200616102f97e00"),
        bytes.fromhex("81a201"),
        bytes.fromhex("9bffffffffffffffff"),
    ],
)
def test_what_is_written_twice_or_badly_is_refused(payload: bytes) -> None:
    with pytest.raises(CodecError):
        decode(payload, arrived_ms=NOW_MS)


@given(st.integers(1, 12), st.floats(-1e6, 1e6), st.booleans())
def test_json_and_cbor_say_the_same(count: int, value: float, is_sum: bool) -> None:
    numbers = {name: label for label, name in LABELS.items()}
    pack = [{"bn": "kettle-1:", "bt": 1.5e9}]
    pack += [{"n": f"m{i}", "t": i, "s" if is_sum else "v": value} for i in range(count)]
    binary = cbor2.dumps([{numbers[k]: v for k, v in record.items()} for record in pack])

    assert SenmlCbor().decode(binary, arrived_ms=NOW_MS) == read(pack)
