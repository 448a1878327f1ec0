"""The door accepts or refuses a message as a whole, and says why."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.units import to_epoch_ms
from gateway.codecs import CodecError, decode
from gateway.session import Arrival
from gateway.sheet import parse_sheet
from ingest.clocks import shift
from ingest.door import Door, admit
from ingest.judge import fault_of
from ingest.records import NO_BOOT, Admission, Device, Refusal
from tests.integration.gateway.sheets import SMALL

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOW_MS = to_epoch_ms(NOW)
TOPIC = "fc/0a/kettle-1/telemetry"
KETTLE = Device(id=7, name="kettle-1", shard=10, product="kettle")


class OneKettle:
    products = {"kettle": parse_sheet(SMALL, source="kettle.toml")}  # noqa: RUF012 - a registry of one

    def device_of(self, topic: str) -> Device | None:
        return KETTLE if topic == TOPIC else None


def admitted(*messages: object) -> Admission:
    payloads = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
    return admit([Arrival(TOPIC, p, 1) for p in payloads], OneKettle(), now=NOW)


def test_samples_become_columns_in_the_order_of_the_message() -> None:
    admission = admitted(
        {
            "boot": 1,
            "seq": 0,
            "samples": [
                [NOW_MS, {"water_c": 20, "boils": 3}],
                [NOW_MS + 1, {"water_c": 21, "boils": True}],
            ],
        }
    )

    columns = admission.columns["kettle"]
    assert columns.values[:, [0, 2]].tolist() == [[20, 3], [21, 1]]
    assert np.isnan(columns.values[:, 1]).all()
    assert columns.times_ms.tolist() == [NOW_MS, NOW_MS + 1]
    assert admission.messages.samples.tolist() == [2]
    assert admission.messages.values.tolist() == [4]
    assert admission.messages.newest_ms.tolist() == [NOW_MS + 1]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([[NOW_MS, {"steam": 1}]], Refusal.UNKNOWN_METRIC),
        ([[NOW_MS, {"water_c": 130.1}]], Refusal.OUT_OF_RANGE),
        ([[NOW_MS, {"water_c": -1e300}]], Refusal.OUT_OF_RANGE),
        ([[NOW_MS, {}]], Refusal.NO_SAMPLES),
        ([], Refusal.NO_SAMPLES),
        ([[NOW_MS, {"boils": i}] for i in range(1001)], Refusal.TOO_MANY_SAMPLES),
        ([[NOW_MS - 401 * 86_400_000, {"water_c": 1}]], Refusal.TOO_OLD),
        ([[2**53, {"water_c": 1}]], Refusal.IN_FUTURE),
        ([[-(2**53), {"water_c": 1}]], Refusal.TOO_OLD),
    ],
)
def test_one_bad_sample_refuses_the_whole_message_and_no_other(
    samples: list,
    reason: Refusal,  # type: ignore[type-arg]
) -> None:
    good = [[NOW_MS, {"water_c": 20, "power_w": 5}], [NOW_MS, {"boils": 1}]]

    admission = admitted(
        {"boot": 1, "seq": 0, "samples": good},
        {"boot": 1, "seq": 1, "samples": [*good, *samples] if samples else []},
        {"boot": 1, "seq": 2, "samples": good},
    )

    assert [refused.reason for refused in admission.refused] == [reason]
    assert admission.rows == 4
    assert admission.messages.seqs.tolist() == [0, 1, 2]
    assert (admission.messages.samples == 0).tolist() == [False, True, False]


def test_a_message_of_a_wrong_clock_stands_apart_with_the_time_of_arrival() -> None:
    admission = admitted(
        {"boot": 1, "seq": 0, "samples": [[NOW_MS, {"water_c": 20}]]},
        {"boot": 1, "seq": 1, "samples": [[0, {"water_c": 21}], [60_000, {"boils": 1}]]},
        {"boot": 1, "seq": 2, "samples": [[NOW_MS + 601_000, {"water_c": 22}]]},
    )

    assert admission.refused == []
    assert len(admission.columns["kettle"]) == 1
    assert [(one.place, one.ahead_ms) for one in admission.shifted] == [
        (1, 60_000 - NOW_MS),
        (2, 601_000),
    ]
    assert admission.messages.seqs.tolist() == [0, 1, 2]
    assert admission.messages.newest_ms.tolist() == [NOW_MS, NOW_MS, NOW_MS]
    assert admission.rows == 4


def test_a_stranger_and_a_foreign_topic_are_refused() -> None:
    arrival = Arrival("fc/0b/kettle-1/telemetry", b'{"water_c": 1}', 1)

    admission = admit([arrival], OneKettle(), now=NOW)

    assert admission.refused[0].reason is Refusal.UNKNOWN_DEVICE
    assert admission.refused[0].device_name == "kettle-1"
    assert len(admission.messages) == 0


def test_a_bare_message_is_taken_at_the_time_of_arrival() -> None:
    admission = admitted({"water_c": 20})

    assert admission.columns["kettle"].times_ms.tolist() == [NOW_MS]
    assert admission.messages.boots.tolist() == [NO_BOOT]
    assert admission.messages.newest_ms.tolist() == [NOW_MS]


def test_a_senml_pack_is_stored_in_the_units_of_the_sheet() -> None:
    pack = [{"bn": "kettle-1:", "n": "water_c", "u": "K", "v": 293.15}, {"n": "boils", "v": 3}]

    admission = admitted(pack, {"water_c": 1})

    assert admission.columns["kettle"].times_ms.tolist() == [NOW_MS, NOW_MS]
    assert admission.columns["kettle"].values[0] == pytest.approx([20, np.nan, 3], nan_ok=True)
    assert admission.messages.boots.tolist() == [NO_BOOT, NO_BOOT]


def test_a_unit_that_does_not_fit_is_refused() -> None:
    admission = admitted([{"n": "water_c", "u": "W", "v": 20}])

    assert admission.refused[0].reason is Refusal.WRONG_UNIT
    assert "'°C'" in admission.refused[0].detail


@given(st.lists(st.binary(max_size=100), max_size=5))
@example([b'{"water_c": 1}', b"[" * 60_000, b"{" + b'"a":1,' * 5_000 + b'"b":1}'])
def test_every_message_is_either_stored_or_refused(payloads: list[bytes]) -> None:
    admission = admit([Arrival(TOPIC, p, 1) for p in payloads], OneKettle(), now=NOW)

    stored = {int(i) for columns in admission.columns.values() for i in columns.order}
    assert len(stored) + len(admission.refused) == len(payloads)


_SAMPLE = st.tuples(
    st.integers(NOW_MS - 10**12, NOW_MS + 10**7),
    st.dictionaries(
        st.sampled_from(["water_c", "power_w", "boils", "steam"]),
        st.one_of(st.booleans(), st.floats(-200, 5000)),
        max_size=3,
    ),
)


@given(st.lists(st.lists(_SAMPLE, max_size=4), max_size=6))
def test_a_batch_is_judged_as_its_messages_alone(batch: list) -> None:  # type: ignore[type-arg]
    messages = [{"boot": 1, "seq": i, "samples": samples} for i, samples in enumerate(batch)]

    together = admitted(*messages)

    alone = [admitted(message) for message in messages]
    told = [(r.reason, r.detail) for r in together.refused]
    assert told == [(r.reason, r.detail) for a in alone for r in a.refused]
    assert together.rows == sum(a.rows for a in alone)


_KEYS = st.sampled_from(['"boot"', '"seq"', '"low"', '"samples"', '"ts"', '"b\\u006fot"'])
_NUMBERS = st.sampled_from(["0", "1", "3", "-1", "1.5", "true", "9223372036854775807", "1e400"])
_METRICS = st.sampled_from(['"water_c"', '"power_w"', '"b\\u006fils"', '"steam"'])
_OBJECT = st.lists(st.tuples(_METRICS, _NUMBERS), max_size=3).map(
    lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
)
_SAMPLES = st.lists(
    st.tuples(st.sampled_from([str(NOW_MS), str(NOW_MS + 10**9), "0", "1.5"]), _OBJECT), max_size=3
).map(lambda samples: "[" + ",".join(f"[{ts},{values}]" for ts, values in samples) + "]")


@given(st.lists(st.tuples(_KEYS, _NUMBERS | _SAMPLES | _OBJECT), max_size=5))
def test_the_quick_way_in_takes_exactly_what_the_codec_and_the_judge_take(
    pairs: list[tuple[str, str]],
) -> None:
    payload = ("{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}").encode()

    admission = admitted(payload)

    product = OneKettle.products["kettle"]
    try:
        message = decode(payload, arrived_ms=NOW_MS)
    except CodecError:
        assert [r.reason for r in admission.refused] == [Refusal.UNREADABLE]
        return
    fault = fault_of(message, product, now_ms=NOW_MS)
    if fault is not None and fault.reason in (Refusal.TOO_OLD, Refusal.IN_FUTURE):
        moved = shift(message, product, now_ms=NOW_MS)
        assert [one.digest for one in admission.shifted] == ([moved.digest] if moved else [])
        if moved:
            assert admission.refused == []
            return
    assert [(r.reason, r.detail) for r in admission.refused] == ([fault] if fault else [])
    if fault is None:
        columns = admission.columns["kettle"]
        assert columns.times_ms.tolist() == [ts for ts, _ in message.samples]
        names = [metric.name for metric in product.metrics]
        for row, (_, values) in zip(columns.values.tolist(), message.samples, strict=True):
            assert {n: v for n, v in zip(names, row, strict=True) if v == v} == values
        assert admission.messages.values.tolist() == [sum(len(v) for _, v in message.samples)]
    if message.boot is not None:
        (boot,) = admission.messages.boots.tolist()
        assert (boot, admission.messages.seqs.tolist()) == (message.boot, [message.seq])
        assert admission.messages.lows.tolist() == [message.low]


def test_a_batch_that_is_taken_in_pieces_is_judged_as_a_whole() -> None:
    messages = [
        Arrival(
            TOPIC,
            json.dumps({"boot": 1, "seq": i, "samples": [[NOW_MS, {"boils": i}]]}).encode(),
            1,
        )
        for i in range(6)
    ]
    door = Door(OneKettle())
    for start in (0, 2, 3):
        door.take(messages[start : {0: 2, 2: 3, 3: 6}[start]], now=NOW)

    admission = door.close()

    assert admission.messages.places.tolist() == [0, 1, 2, 3, 4, 5]
    assert admission.columns["kettle"].order.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_detail_is_fit_to_be_stored_as_text() -> None:
    admission = admitted(b'{"boot":1,"seq":0,"samples":[[1,{"\\u0000":1}]]}')

    assert "\0" not in admission.refused[0].detail
    assert admission.refused[0].received_at - NOW == timedelta(0)
