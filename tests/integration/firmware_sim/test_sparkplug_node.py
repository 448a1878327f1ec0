"""A simulated edge node on a real broker, as a Sparkplug host hears it."""

import queue
import threading
import time
from random import Random

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim.connection import Address, Identity
from firmware_sim.courier import Courier
from firmware_sim.dialects import SPARKPLUG
from firmware_sim.sparkplug.payload import DataType
from firmware_sim.sparkplug.session import Declared
from firmware_sim.spool import Spool
from gateway.sparkplug.messages import (
    parse_sparkplug_topic,
    read_payload,
    rebirth_command,
    rebirth_topic,
)
from gateway.sparkplug.schema import Payload
from gateway.sparkplug.session import take

START_MS = 1_764_000_000_000
KETTLE = (
    Declared(metric="water_c", datatype=DataType.DOUBLE),
    Declared(metric="boils", datatype=DataType.INT64),
)


class Host:
    """Hears everything below spBv1.0 and reads it as the platform does."""

    def __init__(self, port):
        self.heard = []
        """Topic, message, and whether all of its values are historical, oldest first."""
        self.node = None
        self.samples = {}
        """(device, ms) to values."""
        self._waiting = queue.SimpleQueue()
        subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda c, *_: c.subscribe("spBv1.0/#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _c, _u, message: self._waiting.put(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(timeout=60)

    def listen(self):
        """Take in what has come; an outcome that refuses anything fails the test."""
        while not self._waiting.empty():
            message = self._waiting.get()
            topic = parse_sparkplug_topic(message.topic)
            if topic is None:
                continue
            assert not message.retain
            found = read_payload(message.payload)
            marks = {metric.is_historical for metric in Payload.FromString(message.payload).metrics}
            self.heard.append((topic, found, marks == {True}))
            outcome = take(self.node, topic, found, arrived_ms=START_MS)
            assert not outcome.refusal
            assert not outcome.wants_rebirth
            self.node = outcome.node
            for ms, values in outcome.telemetry.samples if outcome.telemetry else ():
                self.samples.setdefault((topic.device or topic.node, ms), {}).update(values)

    def until(self, condition, *, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.kinds()
            time.sleep(0.02)
            self.listen()

    def kinds(self):
        return [topic.kind for topic, _, _ in self.heard]

    def marks(self):
        """Of each data message, whether it is marked as kept back."""
        return [mark for topic, _, mark in self.heard if topic.kind in {"NDATA", "DDATA"}]

    def bd_seqs(self):
        """`bdSeq` of births and deaths, in order."""
        metrics = [metric for _, message, _ in self.heard for metric in message.metrics]
        return [metric.value for metric in metrics if metric.name == "bdSeq"]

    def ask_for_a_rebirth(self):
        command = rebirth_command(now_ms=START_MS)
        self._client.publish(rebirth_topic(group="kettle", node="kettle-0"), command, qos=1)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Node:
    """One edge node; `again` is the same node after a crash."""

    def __init__(self, folder, port, *, behind=()):
        self.folder, self.port, self.behind = folder, port, behind
        self.spool = Spool(folder / "spool.db")
        self.courier = Courier(
            address=Address(host="127.0.0.1", port=port, is_tls=False),
            spool=self.spool,
            monotonic_s=time.monotonic,
        )
        identity = Identity(
            name="kettle-0", shard="a3", password="p", product="kettle", firmware="1"
        )
        devices = ("kettle-0", *behind)
        boots = [self.spool.start(device, mark=0) for device in devices]
        self.courier.add_node(
            identity,
            boot=boots[0],
            rng=Random(boots[0]),
            declares=dict.fromkeys(devices, KETTLE),
        )

    @property
    def client(self):
        return self.courier.clients["kettle-0"]

    def measure(self, numbers, *, device="kettle-0"):
        """Put one message of one sample each into the spool."""
        for n in numbers:
            rows = [[START_MS + n * 60_000, {"water_c": 20.5 + n, "boils": -n}]]
            self.spool.append([(device, SPARKPLUG.bodies(device, rows))], mark=n)
        self.courier.wake()

    def until(self, host, condition, *, seconds=60):
        def holds():
            host.listen()
            return condition()

        self.courier.run(seconds, until=holds)
        assert holds(), self.courier.problems()

    def crash(self):
        self.client.is_held = True
        self.client.tick(time.monotonic())
        self.spool.close()

    def again(self):
        self.crash()
        return Node(self.folder, self.port, behind=self.behind)

    def close(self):
        self.courier.close()
        self.spool.close()


@pytest.fixture
def host(open_broker):
    host = Host(open_broker.port)
    yield host
    host.close()


def sample(n):
    return {"water_c": 20.5 + n, "boils": -n}


def test_a_node_is_born_and_says_the_rest_by_alias(host, tmp_path, open_broker):
    node = Node(tmp_path, open_broker.port)
    node.until(host, lambda: node.client.is_connected)

    node.measure(range(300))
    node.until(host, lambda: len(host.samples) == 300)
    node.close()
    host.until(lambda: not host.node.is_alive)

    assert host.kinds() == ["NBIRTH", *["NDATA"] * 300, "NDEATH"]
    assert host.samples == {("kettle-0", START_MS + n * 60_000): sample(n) for n in range(300)}
    assert [message.seq for _, message, _ in host.heard[:-1]] == [n % 256 for n in range(301)]
    assert {metric.name for _, message, _ in host.heard[1:-1] for metric in message.metrics} == {""}


def test_what_was_kept_back_is_sent_as_historical_under_a_new_bd_seq(host, tmp_path, open_broker):
    node = Node(tmp_path, open_broker.port)
    node.measure(range(2))
    node.until(host, lambda: len(host.samples) == 2)
    node = node.again()
    node.measure(range(2, 5))
    node.until(host, lambda: len(host.samples) == 5)
    node.measure([5])
    node.until(host, lambda: len(host.samples) == 6)
    node.close()

    assert host.bd_seqs() == [0, 0, 1]
    assert host.kinds() == ["NBIRTH", "NDATA", "NDATA", "NDEATH", "NBIRTH", *["NDATA"] * 4]
    assert host.marks() == [True, True, True, True, True, False]


def test_a_node_is_born_again_when_it_is_asked_and_repeats_what_it_sent_last(
    host, tmp_path, open_broker
):
    node = Node(tmp_path, open_broker.port)
    node.until(host, lambda: host.kinds() == ["NBIRTH"])
    node.measure([1, 2])
    node.until(host, lambda: host.kinds().count("NDATA") == 2)

    host.ask_for_a_rebirth()
    node.until(host, lambda: host.kinds().count("NDATA") == 4)
    node.close()

    assert host.kinds() == ["NBIRTH", "NDATA", "NDATA", "NBIRTH", "NDATA", "NDATA"]
    assert host.bd_seqs() == [0, 0]
    assert host.marks() == [False, False, True, True]
    values = [m.value for m in host.heard[3][1].metrics if m.name.startswith("Inputs/")]
    assert values == [22.5, 2**64 - 2]


def test_a_broker_that_dies_costs_nothing_that_was_sent_in_the_last_seconds(tmp_path, open_broker):
    host = Host(open_broker.port)
    node = Node(tmp_path, open_broker.port)
    node.measure(range(3))
    node.until(host, lambda: len(host.samples) == 3)
    host.close()
    open_broker.kill()
    node.measure([3])
    node.courier.run(1.0)
    open_broker.start()
    host = Host(open_broker.port)

    node.until(host, lambda: len(host.samples) == 4, seconds=120)

    assert host.samples[("kettle-0", START_MS)] == sample(0)
    node.close()
    host.close()


def test_devices_behind_a_node_are_born_and_told_with_it(host, tmp_path, open_broker):
    node = Node(tmp_path, open_broker.port, behind=("kettle-1",))
    node.measure([0])
    node.measure([1], device="kettle-1")
    node.until(host, lambda: len(host.samples) == 2)
    node.close()

    assert host.kinds()[:2] == ["NBIRTH", "DBIRTH"]
    assert sorted(host.kinds()[2:4]) == ["DDATA", "NDATA"]
    assert host.samples[("kettle-1", START_MS + 60_000)] == sample(1)
