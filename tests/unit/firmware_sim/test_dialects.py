"""How a simulated device writes its samples: sizes, times, units."""

import cbor2
import orjson
import pytest

from firmware_sim.dialects import (
    DIALECTS,
    SENML_CBOR,
    SENML_JSON,
    dialect_of,
    node_of,
    parse_dialects,
)
from firmware_sim.errors import SimulatorError

START_MS = 1_790_000_000_123
ROWS = [
    [START_MS + i * 60_000, {"outlet_c": 41.2, "pressure_bar": 4.12, "flow_m3_h": i / 8}]
    for i in range(900)
]


def test_a_pack_has_absolute_times_and_says_who_speaks_once():
    (body,) = SENML_JSON.bodies("hp-1", ROWS[:1])

    assert orjson.loads(body.encoded) == [
        {
            "n": "outlet_c",
            "u": "Cel",
            "v": 41.2,
            "bt": 1_790_000_000.123,
            "bn": "hp-1/",
            "bver": 10,
        },
        {"n": "pressure_bar", "u": "Pa", "v": 412_000.0},
        {"n": "flow_m3_h", "v": 0.0},
    ]


def test_cbor_says_the_same_with_numbers_for_labels():
    (body,) = SENML_CBOR.bodies("hp-1", ROWS[:1])

    assert cbor2.loads(body.encoded)[0] == {
        0: "outlet_c",
        1: "Cel",
        2: 41.2,
        -3: 1_790_000_000.123,
        -2: "hp-1/",
        -1: 10,
    }


@pytest.mark.parametrize("name", ["senml", "cbor"])
def test_packs_are_cut_to_what_a_message_may_have(name):
    bodies = DIALECTS[name].bodies("hp-1", ROWS)

    assert sum(body.samples for body in bodies) == len(ROWS)
    assert len(bodies) > 1
    assert all(len(body.encoded) <= 65_536 for body in bodies)


def test_a_sample_that_is_too_large_is_refused():
    huge = [[START_MS, {f"metric_{i}": i for i in range(6000)}]]

    with pytest.raises(SimulatorError, match="one SenML sample"):
        SENML_JSON.bodies("hp-1", huge)


def test_nothing_measured_is_nothing_sent():
    assert SENML_CBOR.bodies("hp-1", []) == []


def test_the_list_is_dealt_out_over_the_fleet():
    names = parse_dialects("json, senml,cbor")

    assert [dialect_of(i, names).name for i in range(4)] == ["json", "senml", "cbor", "json"]


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(SimulatorError, match="morse"):
        parse_dialects("json,morse")


def test_a_device_behind_a_node_is_spoken_for_by_the_last_node_before_it():
    names = parse_dialects("sparkplug,json,behind,behind,sparkplug,behind")

    assert [node_of(place, names) for place in (2, 3, 5, 8)] == [0, 0, 4, 6]


@pytest.mark.parametrize("text", ["behind", "behind,sparkplug", "json,behind"])
def test_a_device_behind_no_node_is_refused(text):
    with pytest.raises(SimulatorError, match="behind no node"):
        parse_dialects(text)
