"""One event is one line of JSON, whatever stands in its fields."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Self

import pytest

from core.log import get_logger, set_up_logging

log = get_logger("test")


class Written:
    """What was logged within a block, as lines of standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.text = ""

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        root.handlers.clear()
        set_up_logging("info")
        return self

    def __exit__(self, *error: object) -> None:
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        self.text = self._capsys.readouterr().err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.removesuffix("\n").split("\n")]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


def test_an_event_is_one_line_with_its_fields(written: Written) -> None:
    with written:
        log.info("batch.stored", rows=5000, at_most=datetime(2026, 1, 2, tzinfo=UTC))

    (line,) = written.lines
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info",
        "from": "test",
        "event": "batch.stored",
        "rows": 5000,
        "at_most": "2026-01-02T00:00:00+00:00",
    }


@pytest.mark.parametrize(
    "text",
    [
        'x\n{"level":"error","event":"forged"}',
        "x\r\nforged",
        "\x1b[2J\x1b]0;owned\x07",
        "\x00\x08\x1f",
        '"\\',
    ],
)
def test_a_text_of_a_stranger_stays_within_its_line_and_moves_no_cursor(
    written: Written, text: str
) -> None:
    with written:
        log.warning("device.refused", reason=text, **{text: 1})

    (line,) = written.lines
    assert (line["reason"], line[text]) == (text, 1)
    assert all(character.isprintable() for character in written.text.removesuffix("\n"))


@pytest.mark.parametrize("value", ["half \ud800 a character", 2**80, {"deep": [2**80]}])
def test_what_json_cannot_hold_is_shown_escaped_and_the_rest_as_ever(
    written: Written, value: object
) -> None:
    with written:
        log.error("strange", value=value, rows=3)

    (line,) = written.lines
    assert (line["value"], line["rows"], line["level"]) == (ascii(value), 3, "error")


def test_an_exception_brings_its_trace_in_the_same_line(written: Written) -> None:
    with written:
        try:
            int("first\nsecond")
        except ValueError:
            log.exception("batch.failed")

    (line,) = written.lines
    assert line["level"] == "error"
    assert "ValueError: invalid literal" in line["trace"]


def test_the_level_decides_and_libraries_speak_from_warning_on(written: Written) -> None:
    with written:
        log.debug("quiet")
        logging.getLogger("library").info("quiet")
        logging.getLogger("library").warning("loud")

    assert [line["event"] for line in written.lines] == ["loud"]
