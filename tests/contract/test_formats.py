"""What the pages show is what the code takes: every example is read by the real codec or parser."""

import json
import re

from core.settings import PROJECT_ROOT
from core.units import from_epoch_ms
from gateway.codecs import Telemetry, decode
from gateway.desk import Incoming
from gateway.device_commands.messages import Answer, command_message, read_answer
from gateway.device_commands.records import DueCommand
from gateway.presence import read_change
from gateway.sheet import parse_sheet
from gateway.twin.merging import Report, config_payload, read_report

_REFERENCE = PROJECT_ROOT / "docs" / "reference"
_WIRE = (_REFERENCE / "wire-format.md").read_text(encoding="utf-8")
_SHEET = (_REFERENCE / "product-sheet.md").read_text(encoding="utf-8")
_ARRIVED_MS = 1_764_000_123_000
_TS_MS = 1_764_000_000_000


def _filled(example: str) -> bytes:
    """Put something where the page says `…`."""
    text = example.replace('"ts": …', f'"ts": {_TS_MS}').replace("{…}", '{"outlet_c": 41.2}')
    return text.replace(", …", "").encode()


def _payload_of(kind: str) -> bytes:
    (row,) = re.findall(rf"^\| `fc/<shard>/<device>/{kind}` .*$", _WIRE, re.MULTILINE)
    return re.findall(r"`(\{.*?\})`", row)[0].encode()


def test_the_senml_example_is_read_as_the_page_explains_it() -> None:
    (example,) = re.findall(r"`(\[\{\"bn\".*?\])`", _WIRE)

    message = decode(example.encode(), arrived_ms=_ARRIVED_MS)

    assert message.samples == [(_TS_MS, {"outlet_c": 41.2, "power_w": 812.0})]
    assert message.units == {"outlet_c": "Cel", "power_w": "W"}


def test_the_telemetry_example_is_read_as_the_page_explains_it() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", _WIRE, re.DOTALL)

    assert decode(_filled(example), arrived_ms=_ARRIVED_MS) == Telemetry(
        [(_TS_MS, {"outlet_c": 41.2, "power_w": 812.0})], boot=12, seq=345, low=340
    )


def test_every_short_form_is_read_and_never_confirmed() -> None:
    (paragraph,) = [part for part in _WIRE.split("\n\n") if part.startswith("Short forms")]
    examples = re.findall(r"`([{\[].*?[}\]])`", paragraph)

    found = [decode(_filled(example), arrived_ms=_ARRIVED_MS) for example in examples]

    value = {"outlet_c": 41.2}
    assert found == [
        Telemetry([(_TS_MS, value)]),
        Telemetry([(_TS_MS, value)]),
        Telemetry([(_ARRIVED_MS, value)]),
    ]


def _said(kind: str) -> Incoming:
    return Incoming(device="hp-1", shard=10, kind=kind, payload=_payload_of(kind))


def test_birth_and_will_are_read_as_one_session() -> None:
    born = read_change(_said("birth"))
    died = read_change(_said("will"))

    assert born is not None
    assert died is not None
    assert (born.boot, born.is_connected) == (12, True)
    assert (died.boot, died.is_connected) == (12, False)


def test_the_stored_example_counts_by_boot_and_seq() -> None:
    assert json.loads(_payload_of("stored")) == {"boot": 12, "seq": 345}


def test_the_examples_of_configuration_and_commands_are_what_is_sent_and_read() -> None:
    config, command = (json.loads(_payload_of(kind)) for kind in ("config", "command"))
    due = DueCommand(
        id=command["id"],
        device="hp-1",
        shard=10,
        name=command["name"],
        args=command["args"],
        deadline_at=from_epoch_ms(command["deadline"]),
        state="queued",
        tries=0,
    )

    assert json.loads(config_payload(config["version"], config["desired"])) == config
    assert json.loads(command_message(due).payload) == command
    assert read_report(_said("reported")) == Report(version=7, reported={"target_c": 21.5})
    assert read_answer(_said("answer")) == Answer(
        id="c-5f3a91c2", state="done", result={"blinked": 60}
    )


def test_the_sheet_of_the_page_parses_whole() -> None:
    example = "\n".join(re.findall(r"```toml\n(.*?)```", _SHEET, re.DOTALL))

    product = parse_sheet(example, source="product-sheet.md")

    assert product.name == "heat_pump"
    assert product.metrics
    assert product.failure_modes
