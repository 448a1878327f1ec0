"""No container engine is at hand, so what the compose file says is held against the code."""

import re
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
    ports = [words[words.index(name) + 1] for name in ("--port", "--mqtts-port", "--tls-port")]
    assert _COMPOSE["services"]["broker"]["ports"] == [f"{port}:{port}" for port in ports]


def test_devices_come_to_the_port_that_the_gateway_opens() -> None:
    port = _OURS["gateway"]["environment"]["FORECARE_PROVISION_PORT"]

    assert _OURS["gateway"]["ports"] == [f"{port}:{port}"]


def test_one_user_writes_the_brokers_files_and_reads_them() -> None:
    broker = _COMPOSE["services"]["broker"]
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text(encoding="utf-8")
    ids = re.search(r"useradd .*--uid (\d+) --gid (\d+)", dockerfile)
    owned = re.search(r"chown forecare:forecare (.*)", dockerfile)

    assert ids is not None
    assert broker["user"] == f"{ids[1]}:{ids[2]}"
    assert not any("user" in service for service in _OURS.values())
    assert owned is not None
    assert {"/broker", "/broker-data"} <= set(owned[1].split())


def test_the_broker_keeps_its_queues_on_a_volume_that_belongs_to_its_user() -> None:
    """An empty volume takes the owner that its folder has in the image that mounts it first: ours."""
    words = _OURS["broker-files"]["command"]
    broker = _COMPOSE["services"]["broker"]
    mount = f"broker-data:{words[words.index('--data') + 1]}"

    assert mount in _OURS["broker-files"]["volumes"]
    assert mount in broker["volumes"]
    assert broker["depends_on"] == {"broker-files": {"condition": "service_completed_successfully"}}
