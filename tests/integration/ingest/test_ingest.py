"""The whole way: a device, the real broker, the ingest process, the real database."""

from typing import Any

from tests.integration.gateway.client import Device
from tests.integration.ingest.conftest import Ingest, message


def test_a_message_is_stored_and_confirmed(
    broker: Any, ingest: Ingest, kettles: Any, rows: Any
) -> None:
    ingest.start()
    with Device.of(broker, kettles[0]) as device:
        device.subscribe(device.topic("stored"))

        device.deliver(message(0, samples=3))

        assert device.stored() == (1, 0)
    assert rows("select water_c, power_w, boils from telemetry.kettle order by measured_at") == [
        (20.5, 0.0, None),
        (20.5, 1.0, None),
        (20.5, 2.0, None),
    ]
    assert (
        rows("select samples, measured_through - first_measured_at from ingest.progress")[0][0] == 3
    )
