"""Where a server listens."""

import pytest

from core.errors import PermanentError
from core.runtime.errors import PortTakenError
from core.runtime.ports import (
    FIRST_PORT,
    PORT_COUNT,
    PortWish,
    asked_port,
    choose_port,
    listening_inodes,
)

_TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1
   1: 0100007F:1538 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
"""


def test_a_first_port_lies_outside_the_range_of_outgoing_connections():
    choice = choose_port(PortWish(server="x", seed="a"), free=lambda _: True)

    assert FIRST_PORT <= choice.port < FIRST_PORT + PORT_COUNT
    assert choice.moved_because == ""


def test_two_folders_begin_at_different_ports():
    first = choose_port(PortWish(server="x", seed="/a"), free=lambda _: True)
    second = choose_port(PortWish(server="x", seed="/b"), free=lambda _: True)

    assert first.port != second.port


def test_a_remembered_port_is_kept_while_it_is_free():
    wish = PortWish(server="x", seed="a", remembered=20_123)

    assert choose_port(wish, free=lambda _: True).port == 20_123


def test_a_remembered_port_that_was_taken_is_left_with_a_reason():
    wish = PortWish(server="Mosquitto", seed="a", remembered=1)

    choice = choose_port(wish, free=lambda port: port != 1)

    assert choice.port != 1
    assert "port 1 is taken" in choice.moved_because
    assert f"Mosquitto moves to port {choice.port}" in choice.moved_because


def test_a_free_port_that_is_spoken_for_is_avoided():
    first = choose_port(PortWish(server="x", seed="a"), free=lambda _: True)
    wish = PortWish(server="x", seed="a", avoid=frozenset({first.port}))

    assert choose_port(wish, free=lambda _: True).port != first.port


def test_an_asked_port_that_is_taken_is_refused_by_name():
    wish = PortWish(server="PostgreSQL", seed="a", asked=2, remembered=20_123)

    with pytest.raises(PortTakenError, match="port 2, which PostgreSQL was told to use"):
        choose_port(wish, free=lambda _: False)


def test_no_free_port_at_all_is_an_error_that_ends():
    with pytest.raises(PortTakenError, match="no free port"):
        choose_port(PortWish(server="x", seed="a"), free=lambda _: False)


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "54 32"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(PermanentError, match="FORECARE_PG_PORT"):
        asked_port("FORECARE_PG_PORT", text)


def test_no_wish_is_no_port():
    assert asked_port("FORECARE_PG_PORT", "") is None
    assert asked_port("FORECARE_PG_PORT", "5432") == 5432


def test_only_listening_sockets_hold_a_port():
    assert listening_inodes(_TABLE, 0x1538) == {"4711"}
    assert listening_inodes(_TABLE, 80) == set()
