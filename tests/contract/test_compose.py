"""No container engine is at hand, so what the compose file says is held against the code."""

import subprocess
import sys
from typing import Any

import click
import pytest
import yaml

from core.cli import main
from core.line import STAGES
from core.settings import PROJECT_ROOT, Settings, load_settings, setting_names, variable_of

_FILE = PROJECT_ROOT / "docker-compose.yml"
_COMPOSE: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
_OURS = {
    name: service
    for name, service in _COMPOSE["services"].items()
    if service["image"].startswith("forecare:")
}


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    result = subprocess.run([*command, str(_FILE)], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_every_stage_is_a_service_with_the_same_command() -> None:
    for name, arguments in STAGES:
        assert tuple(_OURS[name]["command"]) == arguments


@pytest.mark.parametrize("name", sorted(_OURS))
def test_the_command_and_its_options_exist(name: str) -> None:
    words = list(_OURS[name]["command"])
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found is not None, f"{name}: no such command: {_OURS[name]['command']}"
        command = found

    assert not isinstance(command, click.Group)
    command.make_parser(click.Context(command)).parse_args(words)


@pytest.mark.parametrize("name", sorted(_OURS))
def test_every_variable_is_a_setting(name: str) -> None:
    known = {variable_of(setting) for setting in setting_names()}

    assert set(_OURS[name]["environment"]) <= known


def test_the_published_port_is_the_one_that_the_pages_listen_on() -> None:
    environment = {key: str(value) for key, value in _OURS["api"]["environment"].items()}
    settings: Settings = load_settings(environment | {"FORECARE_SECRET_KEY": "x" * 32})

    assert _OURS["api"]["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]


def test_the_broker_reads_what_our_command_writes() -> None:
    words = _OURS["broker-files"]["command"]
    script = _COMPOSE["services"]["broker"]["command"][-1]

    assert words[:3] == ["broker", "write", "/broker"]
    assert "mosquitto -c /broker/mosquitto.conf" in script
    assert _COMPOSE["services"]["broker"]["ports"] == ["1883:1883"]
    assert words[words.index("--port") + 1] == "1883"
