"""The gateway as a process of its own, and a device that talks with it over the real broker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mqtt5

from core.settings import Settings, variable_of
from tests.integration.gateway.client import Device

_PATIENCE_S = 120.0


@contextmanager
def running_gateway(
    settings: Settings, *, failpoint: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    names = ("runtime_dir", "database_url", "mqtt_url", "broker_dir")
    given = {variable_of(name): getattr(settings, name) for name in names}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORECARE_")} | given
    if failpoint:
        environment["FORECARE_FAILPOINT"] = failpoint
    command = [sys.executable, "-m", "core.cli", "gateway", "run"]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(holds: Callable[[], object], *, what: str) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s, f"never happened: {what}"
        time.sleep(0.02)


def say(device: Device, kind: str, message: dict[str, Any]) -> None:
    """Publish until somebody takes it: at first the gateway may not have subscribed yet.

    Boot numbers of births lie above those of other tests: a will of a device of the same name may
    still wait in the gateway's session, which outlives a test.
    """
    payload = json.dumps(message).encode()
    no_one = mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
    wait_until(
        lambda: device.publish(payload, topic=device.topic(kind)) != no_one, what=f"{kind} is taken"
    )


def hear(device: Device, kind: str) -> dict[str, Any]:
    """Wait for the next message of a kind; others are left for later."""
    topic = device.topic(kind)
    while True:
        for place, packet in enumerate(device.received):
            if packet.topic == topic:
                del device.received[place]
                found: dict[str, Any] = json.loads(packet.payload)
                return found
        device.received.append(device.read(mqtt5.PublishPacket))


def be_born_until(device: Device, boot: int, holds: Callable[[], object], *, what: str) -> None:
    """Say a birth again and again: the broker drops one that comes before the gateway is back, if it
    was restarted and has read its access list anew in between."""

    def is_so() -> object:
        say(device, "birth", {"boot": boot, "firmware": "1", "product": "kettle"})
        return holds()

    wait_until(is_so, what=what)
