from pathlib import Path

import pytest

from core.endpoints import (
    MqttEndpoint,
    NotRunningError,
    broker_dir,
    database_url,
    mqtt_endpoint,
    mqtt_url,
    runtime_paths,
    service_password,
)
from core.errors import InvalidError
from core.settings import Settings, load_settings

KEY = "k" * 40
NOWHERE = Path("/srv/forecare-of-nobody")
"""A folder that does not exist: nothing is read and nothing is made."""


def settings_of(folder: Path = NOWHERE, **environment: str) -> Settings:
    given = {"FORECARE_RUNTIME_DIR": str(folder), "FORECARE_SECRET_KEY": KEY}
    return load_settings(given | {f"FORECARE_{name.upper()}": v for name, v in environment.items()})


def test_what_the_environment_says_wins_over_the_embedded_servers() -> None:
    settings = settings_of(
        database_url="postgresql://db.example/x", mqtt_url="mqtt://broker.example:1999"
    )

    assert database_url(settings) == "postgresql://db.example/x"
    assert mqtt_url(settings) == "mqtt://broker.example:1999"


@pytest.mark.parametrize("address", [database_url, mqtt_url, lambda s: mqtt_endpoint(s, "x")])
def test_without_either_the_error_says_how_to_start_them(address) -> None:
    with pytest.raises(NotRunningError) as caught:
        address(settings_of())

    assert "forecare runtime up" in caught.value.hint


def test_devices_are_told_the_address_without_our_credential() -> None:
    settings = settings_of(mqtt_url="mqtt://we:secret@broker.example")

    assert mqtt_url(settings) == "mqtt://broker.example:1883"


def test_a_service_has_a_derived_password_where_the_address_brings_none() -> None:
    settings = settings_of(mqtt_url="mqtt://broker.example")

    endpoint = mqtt_endpoint(settings, "forecare.gateway")

    assert endpoint == MqttEndpoint(
        host="broker.example",
        port=1883,
        user="forecare.gateway",
        password=service_password(settings, "forecare.gateway"),
    )
    assert endpoint.password != service_password(settings, "forecare.ingest.0")


def test_a_credential_in_the_address_wins_and_is_unquoted() -> None:
    settings = settings_of(mqtt_url="mqtt://we%40x:p%3Aw%2F@broker.example:1884")

    endpoint = mqtt_endpoint(settings, "forecare.gateway")

    assert (endpoint.user, endpoint.password, endpoint.port) == ("we@x", "p:w/", 1884)


@pytest.mark.parametrize("url", ["http://broker.example", "broker.example:1883", "mqtt://"])
def test_an_address_that_is_no_broker_s_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="FORECARE_MQTT_URL"):
        mqtt_endpoint(settings_of(mqtt_url=url), "x")


def test_broker_files_lie_in_the_runtime_folder_unless_told_otherwise() -> None:
    assert broker_dir(settings_of()) == NOWHERE / "broker"
    assert broker_dir(settings_of(broker_dir="/etc/x")) == Path("/etc/x")


def test_an_instance_shares_the_software_of_the_folder_it_lies_in() -> None:
    paths = runtime_paths(settings_of(NOWHERE / "instances" / "second"))

    assert paths.root == NOWHERE / "instances" / "second"
    assert paths.software == NOWHERE / "software"
