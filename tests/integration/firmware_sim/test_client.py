"""Devices on a real broker: what they send, when they send it again, what they forget."""

import time
from random import Random

import pytest

from firmware_sim.client import CONFIRM_TIMEOUT_S
from firmware_sim.connection import Address, Identity
from firmware_sim.courier import Courier
from firmware_sim.payload import Body
from firmware_sim.spool import Spool

DEVICES = ("hp-1", "hp-2")


def body(number):
    return Body(samples=1, encoded=b'[[%d,{"power_w":%d}]]' % (1_790_000_000_000 + number, number))


class Fleet:
    """Two devices, their spool and their courier."""

    def __init__(self, path, port, *, confirm_timeout_s=CONFIRM_TIMEOUT_S):
        self.spool = Spool(path)
        self.courier = Courier(
            address=Address(host="127.0.0.1", port=port, is_tls=False),
            spool=self.spool,
            monotonic_s=time.monotonic,
            confirm_timeout_s=confirm_timeout_s,
        )
        for name in DEVICES:
            boot = self.spool.start(name, mark=0)
            identity = Identity(
                name=name, shard="a3", password="p", product="heat_pump", firmware="4.2.1"
            )
            self.courier.add(identity, boot=boot, rng=Random(boot))

    def put(self, numbers):
        bodies = [body(number) for number in numbers]
        self.spool.append([(name, bodies) for name in DEVICES], mark=0)
        self.courier.wake()

    def deliver(self, *, seconds=60):
        self.courier.run(seconds, until=lambda: self.spool.waiting_in_all() == 0)
        return self.spool.waiting_in_all() == 0

    def close(self):
        self.courier.close()
        self.spool.close()


@pytest.fixture
def fleet(tmp_path, open_broker):
    fleet = Fleet(tmp_path / "spool.db", open_broker.port)
    yield fleet
    fleet.close()


def eventually(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_device_says_what_it_is_sends_all_and_forgets_what_is_stored(fleet, storer):
    fleet.put(range(50))

    assert fleet.deliver()
    assert {name: len(storer.samples[name]) for name in DEVICES} == dict.fromkeys(DEVICES, 50)
    assert dict(storer.births) == {
        key: {"boot": 1, "firmware": "4.2.1", "product": "heat_pump"} for key in DEVICES
    }
    assert len(storer.messages) == len(set(storer.messages))


def test_low_says_what_has_been_confirmed_when_the_message_is_sent(fleet, storer):
    for begin in range(0, 30, 10):
        fleet.put(range(begin, begin + 10))
        assert fleet.deliver()

    lows = {seq: low for device, _, seq, low in storer.lows if device == "hp-1"}
    assert lows[0] == 0
    assert lows[10] == 10
    assert lows[20] == 20
    assert all(low <= seq for seq, low in lows.items())


def test_a_device_that_hears_nothing_sends_the_same_numbers_again(tmp_path, open_broker, storer):
    fleet = Fleet(tmp_path / "spool.db", open_broker.port, confirm_timeout_s=0.4)
    storer.is_deaf = True
    fleet.put(range(5))
    fleet.courier.run(1.0)
    assert fleet.spool.waiting_in_all() == 10

    storer.is_deaf = False

    assert fleet.deliver()
    assert sorted(set(storer.messages)) == [(name, 1, seq) for name in DEVICES for seq in range(5)]
    fleet.close()


def test_a_puback_alone_empties_nothing(fleet, storer):
    storer.is_deaf = True
    fleet.put(range(5))

    fleet.courier.run(1.0)

    assert fleet.spool.waiting_in_all() == 10


def test_a_new_start_sends_the_oldest_boot_first_under_its_old_numbers(
    tmp_path, open_broker, storer
):
    first = Fleet(tmp_path / "spool.db", open_broker.port)
    first.put(range(3))
    first.close()
    second = Fleet(tmp_path / "spool.db", open_broker.port)
    second.put(range(3, 5))

    assert second.deliver()
    second.close()
    sent = [(boot, seq) for device, boot, seq in storer.messages if device == "hp-1"]
    assert sent == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


def test_a_killed_broker_loses_nothing(fleet, storer, open_broker):
    fleet.put(range(20))
    fleet.courier.run(0.3)
    open_broker.kill()
    fleet.put(range(20, 40))
    fleet.courier.run(0.5)
    open_broker.start()
    storer.wait_until_subscribed()

    assert fleet.deliver()
    assert {name: len(storer.samples[name]) for name in DEVICES} == dict.fromkeys(DEVICES, 40)


def test_a_device_that_is_held_keeps_its_samples_and_the_broker_speaks_its_will(fleet, storer):
    fleet.put(range(3))
    assert fleet.deliver()
    fleet.courier.clients["hp-1"].is_held = True
    fleet.put(range(3, 6))
    fleet.courier.run(60, until=lambda: fleet.spool.waiting("hp-2") == 0)

    assert fleet.spool.waiting("hp-1") == 3
    assert eventually(lambda: ("hp-1", {"boot": 1}) in storer.wills)
    fleet.courier.clients["hp-1"].is_held = False
    assert fleet.deliver()


def test_a_clean_goodbye_says_the_will_too(tmp_path, open_broker, storer):
    fleet = Fleet(tmp_path / "spool.db", open_broker.port)
    fleet.put([1])
    assert fleet.deliver()

    fleet.close()

    assert eventually(lambda: len(storer.wills) == 2)
    assert dict(storer.wills) == {key: {"boot": 1} for key in DEVICES}


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[1]", b'{"boot":"x","seq":1}', b'{"boot":9,"seq":9}']
)
def test_what_is_no_confirmation_of_this_device_confirms_nothing(fleet, storer, payload):
    storer.is_deaf = True
    fleet.put(range(3))
    fleet.courier.run(0.5)

    fleet.courier.clients["hp-1"].on_stored(payload)
    fleet.spool.flush()

    assert fleet.spool.waiting("hp-1") == 3


def test_without_a_broker_the_devices_wait_and_nothing_breaks(tmp_path, open_broker):
    open_broker.kill()
    fleet = Fleet(tmp_path / "spool.db", open_broker.port)
    fleet.put(range(3))

    fleet.courier.run(1.0)

    assert fleet.spool.waiting_in_all() == 6
    assert any("no connection" in problem for problem in fleet.courier.problems())
    fleet.close()
