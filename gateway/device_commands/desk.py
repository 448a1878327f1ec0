"""Sends commands to devices until they acknowledge, and takes in what has become of them.

`sent` is committed before the message goes out. A crash in between loses the message and not the
command: it goes out again with back-off, or at the next birth. The device does an id once, so the
second delivery brings the same answer.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.log import get_logger
from core.pool import Connection
from gateway.back_off import next_try
from gateway.desk import Incoming, Outgoing
from gateway.device_commands import store
from gateway.device_commands.life_cycle import FINAL, Answered, TimePassed, is_to_send, step
from gateway.device_commands.messages import command_message, read_answer
from gateway.presence import read_change

log = get_logger("gateway")

_AT_ONCE_MAX = 500
_BACK_OFF_MAX = timedelta(minutes=5)


class CommandDesk:
    """Moves gateway.device_command along."""

    kinds = frozenset({"birth", "answer"})

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        born = {m.device for m in incoming if m.kind == "birth" and read_change(m)}
        if born:
            store.born(connection, sorted(born), now=now)
        for message in incoming:
            if message.kind == "answer":
                _take_answer(connection, message, now=now)
        return ()

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        for late in store.overdue(connection, now=now, limit=_AT_ONCE_MAX):
            after = step(late.state, TimePassed(now), deadline_at=late.deadline_at)
            if after is not None:
                store.move(connection, late.id, after, now=now)
        store.rest(connection, now=now)
        due = [
            one
            for one in store.due(connection, now=now, limit=_AT_ONCE_MAX)
            if is_to_send(one.state, deadline_at=one.deadline_at, now=now)
        ]
        if due:
            next_at = [next_try(now, tries=one.tries + 1, longest=_BACK_OFF_MAX) for one in due]
            store.note_sent(connection, [one.id for one in due], next_at, now=now)
        return [command_message(one) for one in due]


def _take_answer(connection: Connection, message: Incoming, *, now: datetime) -> None:
    answer = read_answer(message)
    if answer is None:
        log.warning("command.unreadable", device=message.device, bytes=len(message.payload))
        return
    held = store.lock(connection, answer.id, device=message.device)
    if held is None:
        log.warning("command.unknown", device=message.device)
        return
    after = step(held.state, Answered(answer.state), deadline_at=held.deadline_at)
    if after is not None:
        store.move(connection, answer.id, after, now=now, result=answer.result)
    elif held.state in FINAL and answer.state not in {held.state, "acknowledged"}:
        said = {"state": answer.state, "result": answer.result}
        store.note_late_answer(connection, answer.id, said)
