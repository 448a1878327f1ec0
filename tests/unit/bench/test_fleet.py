"""The demo's order to the simulator, and what it reads of its record."""

import json
from pathlib import Path

from bench.demo.fleet import Order, command_of, read_truth

_RECORD = {
    "failures": [
        {
            "device": "hp-007-0001",
            "failure_mode": "fan_bearing",
            "onset_at": "2026-01-10T00:00:00Z",
            "fails_at": "2026-02-03T00:00:00Z",
            "is_ahead": True,
        }
    ],
    "samples": {"hp-007-0001": {"made": 10, "confirmed": 9}},
}


def _order(*, ahead: int, is_live: bool) -> Order:
    return Order(
        devices=3,
        days=7,
        seed=7,
        api_url="http://127.0.0.1:8000",
        inbox=Path("inbox"),
        state=Path("fleet"),
        email="m@demo.example",
        password="secret",
        is_live=is_live,
        ahead=ahead,
        firmware_key=Path("signing.pem.pub"),
    )


def test_the_order_is_the_command_and_the_password_is_not_in_it() -> None:
    words = command_of(_order(ahead=4, is_live=True))

    assert words[words.index("--ahead") + 1] == "4"
    assert "--live" in words
    assert "secret" not in words


def test_a_run_that_ends_by_itself_is_not_live() -> None:
    assert "--live" not in command_of(_order(ahead=0, is_live=False))


def test_the_record_says_which_failures_lie_ahead(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(_RECORD), encoding="utf-8")

    truth = read_truth(tmp_path)

    assert [failure.is_ahead for failure in truth.failures] == [True]
    assert truth.confirmed_by_device == {"hp-007-0001": 9}
