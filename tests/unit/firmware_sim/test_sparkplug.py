"""What a simulated edge node writes, held against payloads of other implementations."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.dialects import SPARKPLUG
from firmware_sim.errors import SimulatorError
from firmware_sim.heat_pump import HEAT_PUMP
from firmware_sim.sparkplug.payload import DataType, Metric, is_true, write_payload
from firmware_sim.sparkplug.session import REBIRTH, Declared, Session, declared_by

PAYLOADS = Path(__file__).parents[2] / "fixtures" / "payloads" / "sparkplug"
BORN_MS = 1_764_000_000_000
KETTLE = (
    Declared(metric="water_c", datatype=DataType.DOUBLE),
    Declared(metric="boils", datatype=DataType.INT64),
)


def given_by(name):
    return (PAYLOADS / f"{name}.bin").read_bytes()


def kettle():
    session = Session(group="plant", node="kettle-0", declares={"kettle-0": KETTLE})
    session.begin(3)
    return session


def test_a_birth_is_written_as_pysparkplug_writes_it():
    metrics = [
        Metric(name="water_c", alias=10, at_ms=BORN_MS, datatype=DataType.DOUBLE, value=30.25),
        Metric(name="boils", alias=11, at_ms=BORN_MS, datatype=DataType.INT8, value=-1),
        Metric(name="lid_open", alias=12, at_ms=BORN_MS, datatype=DataType.BOOLEAN, value=True),
    ]

    written = write_payload(declared(metrics), at_ms=BORN_MS, seq=3)

    assert written == given_by("pysparkplug_dbirth")


def test_data_by_alias_is_written_as_pysparkplug_writes_it():
    at_ms = BORN_MS + 3000
    metrics = [
        Metric(alias=10, at_ms=at_ms, datatype=DataType.DOUBLE, value=31.25),
        Metric(alias=12, at_ms=at_ms, datatype=DataType.BOOLEAN, value=False),
    ]

    assert write_payload(metrics, at_ms=at_ms, seq=4) == given_by("pysparkplug_ddata")


def test_a_historical_value_and_a_null_are_written_as_pysparkplug_writes_them():
    at_ms = BORN_MS + 2000
    kept = Metric(
        alias=1,
        at_ms=BORN_MS - 3_600_000,
        datatype=DataType.FLOAT,
        value=-5.5,
        is_historical=True,
    )
    null = Metric(alias=2, at_ms=at_ms, datatype=DataType.INT32, value=None)

    written = write_payload([kept, null], at_ms=at_ms, seq=2)

    assert written == given_by("pysparkplug_ndata_historical")


def test_a_death_is_written_as_pysparkplug_writes_it():
    assert kettle().death(at_ms=BORN_MS - 500).payload == given_by("pysparkplug_ndeath")


def test_a_rebirth_is_understood_as_pysparkplug_asks_for_it():
    assert is_true(given_by("pysparkplug_ncmd_rebirth"), REBIRTH)
    assert not is_true(given_by("pysparkplug_nbirth"), REBIRTH)
    assert not is_true(given_by("npm_ndata"), REBIRTH)


@given(st.binary(max_size=200))
def test_no_command_does_more_than_be_refused(payload):
    with suppress(SimulatorError):
        assert is_true(payload, REBIRTH) in {True, False}


def test_seq_goes_round_after_255_and_every_birth_begins_at_0():
    session = kettle()
    row = [BORN_MS, {"boils": 1}]

    seqs = [seq_of(said.payload) for said in session.births({}, at_ms=BORN_MS)]
    for _ in range(257):
        said = session.data("kettle-0", [row], at_ms=BORN_MS, is_historical=False)
        seqs.append(seq_of(said.payload))
    seqs += [seq_of(said.payload) for said in session.births({}, at_ms=BORN_MS)]

    assert seqs == [*range(256), 0, 1, 0]


def test_a_node_and_the_devices_behind_it_share_seq_and_have_aliases_of_their_own():
    session = Session(
        group="plant", node="gate-1", declares={"gate-1": (), "pump-1": KETTLE, "pump-2": KETTLE}
    )
    row = [BORN_MS, {"boils": 1}]

    births = session.births({}, at_ms=BORN_MS)
    data = [
        session.data(device, [row], at_ms=BORN_MS, is_historical=False)
        for device in ("pump-1", "pump-2")
    ]

    assert [said.topic for said in (*births, *data)] == [
        "spBv1.0/plant/NBIRTH/gate-1",
        "spBv1.0/plant/DBIRTH/gate-1/pump-1",
        "spBv1.0/plant/DBIRTH/gate-1/pump-2",
        "spBv1.0/plant/DDATA/gate-1/pump-1",
        "spBv1.0/plant/DDATA/gate-1/pump-2",
    ]
    assert [seq_of(said.payload) for said in (*births, *data)] == [0, 1, 2, 3, 4]
    assert data[0].payload[:-1] != data[1].payload[:-1]


def test_bd_seq_goes_round_after_255():
    session = kettle()

    session.begin(256 + 3)

    assert session.death(at_ms=BORN_MS - 500).payload == given_by("pysparkplug_ndeath")


def test_a_product_declares_all_that_its_meters_show_and_its_fault_code():
    declared_names = [declared.metric for declared in declared_by(HEAT_PUMP)]

    assert declared_names == [*(meter.name for meter in HEAT_PUMP.meters), "fault_code"]


def test_rows_are_cut_so_that_a_message_may_be_sent():
    rows = [
        [BORN_MS + i * 60_000, {f"metric_{n}": i + n / 7 for n in range(12)}] for i in range(900)
    ]

    bodies = SPARKPLUG.bodies("hp-1", rows)

    assert sum(body.samples for body in bodies) == len(rows)
    assert max(body.samples for body in bodies) * 12 <= 2000
    with pytest.raises(SimulatorError, match="Sparkplug message may have"):
        SPARKPLUG.bodies("hp-1", [[BORN_MS, {f"metric_{n}": n for n in range(2001)}]])


def declared(metrics):
    return [
        Metric(
            name=metric.name,
            alias=metric.alias,
            at_ms=metric.at_ms,
            datatype=metric.datatype,
            value=metric.value,
            tells_type=True,
        )
        for metric in metrics
    ]


def seq_of(payload):
    """A payload ends with its `seq`: key 0x18 and a varint."""
    if payload[-2] == 0x18:
        return payload[-1]
    assert payload[-3] == 0x18
    return payload[-2] & 0x7F | payload[-1] << 7
