"""What the broker is told about its files."""

from pathlib import Path

from gateway.broker import configuration


def _told(text: str, key: str) -> str:
    return next(line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(f"{key} "))


def test_sessions_lie_beside_the_files_unless_another_folder_is_given() -> None:
    beside = configuration(Path("/broker"), port=1883, host="0.0.0.0")
    apart = configuration(Path("/broker"), port=1883, host="::", data=Path("/broker-data"))

    assert _told(beside, "persistence_location") == "/broker/"
    assert _told(apart, "persistence_location") == "/broker-data/"
    assert _told(apart, "password_file") == "/broker/passwords"


def test_the_broker_keeps_its_user_unless_it_is_told_to_step_down() -> None:
    plain = configuration(Path("/b"), port=1883, host="127.0.0.1")
    stepping = configuration(Path("/b"), port=1883, host="127.0.0.1", run_as="mosquitto")

    assert "\nuser " not in plain
    assert _told(stepping, "user") == "mosquitto"
