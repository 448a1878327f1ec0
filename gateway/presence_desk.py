"""Who is there: births and wills, in whatever order they come."""

from collections.abc import Sequence
from datetime import datetime

from core.log import get_logger
from core.pool import Connection
from gateway import store
from gateway.desk import Incoming, Outgoing
from gateway.presence import believed, read_change

log = get_logger("gateway")


class PresenceDesk:
    """Keeps gateway.presence. The boot number makes a repeated or late message harmless."""

    kinds = frozenset({"birth", "will"})

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        read = [(message, read_change(message)) for message in incoming]
        timed = {change.device for _, change in read if change is not None and change.at}
        products = store.products_of_devices(connection, timed)
        for message, change in read:
            if change is None:
                log.warning("presence.unreadable", device=message.device, kind=message.kind)
            elif change.is_connected:
                store.device_born(
                    connection,
                    change.device,
                    boot=change.boot,
                    firmware=change.firmware,
                    event_at=believed(change.at, device=change.device, products=products, now=now),
                    now=now,
                )
            else:
                store.device_gone(connection, change.device, boot=change.boot, now=now)
        return ()

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        del connection, now
        return ()
