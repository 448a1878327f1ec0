"""Addresses of brokers and platforms: errors say what to write."""

import pytest

from firmware_sim.connection import parse_address
from firmware_sim.errors import SimulatorError
from firmware_sim.rest import Api


def test_a_broker_address_has_the_usual_ports():
    assert (parse_address("mqtt://h").port, parse_address("mqtts://h").port) == (1883, 8883)
    assert parse_address("mqtts://h:99").is_tls


@pytest.mark.parametrize("url", ["", "http://h", "mqtt://", "h:1883"])
def test_what_is_no_broker_address_is_refused(url):
    with pytest.raises(SimulatorError, match="no broker address") as error:
        parse_address(url)

    assert "mqtt://host:port" in error.value.hint


def test_what_is_no_platform_address_is_refused():
    with pytest.raises(SimulatorError, match="no address of the platform"):
        Api("localhost")
