"""What others may ask of commands: give one, look at it, take it back.

Each call is one transaction. The gateway process sends a command within a second to a connected
device, or after its next birth, and never after the deadline.
"""

import re
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from psycopg import errors

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Connection, Pool
from core.product import Product
from gateway.device_commands import store
from gateway.device_commands.life_cycle import Cancelled, step
from gateway.device_commands.records import Command, CommandDraft
from gateway.documents import Document, check_document, is_same
from gateway.setting_values import faults_of
from gateway.sheet_table import did_you_mean

OPEN_MAX = 20
"""Commands of one device that are not over yet."""
ARGS_BYTES_MAX = 2048
DEADLINE_MAX = timedelta(days=30)
_KEPT = 500
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_ID = re.compile(r"c-[A-Za-z0-9_-]{8,62}")


def new_command_id() -> str:
    return f"c-{secrets.token_hex(10)}"


def give_command(pool: Pool, draft: CommandDraft, *, now: datetime) -> Command:
    """Queue a command for a device; the same one again (same id) is returned as it is by then.

    Raises
    ------
    NotFoundError
        If there is no such device.
    InvalidError
        If the sheet knows no such command, an argument or the deadline is not sound.
    ConflictError
        If too many are open, or the id stands for another command.
    """
    _check_draft(draft, now=now)
    try:
        with pool.connection() as connection:
            return _give(connection, draft, now=now)
    except errors.UniqueViolation as error:
        raise _other_command(draft.id) from error


def command(pool: Pool, *, device: str, command_id: str) -> Command:
    """Return one command of a device.

    Raises
    ------
    NotFoundError
        If it has none of that id.
    """
    with pool.connection() as connection:
        found = store.find(connection, device=device, command_id=command_id, limit=1)
    if not found:
        raise _no_command(device, command_id)
    return found[0]


def commands(
    pool: Pool, *, device: str | None = None, before: datetime | None = None, limit: int = 50
) -> list[Command]:
    """Return commands, newest first."""
    with pool.connection() as connection:
        return store.find(connection, device=device, before=before, limit=limit)


def cancel_command(pool: Pool, *, device: str, command_id: str, now: datetime) -> Command:
    """Take a command back that has not been sent. Safe to repeat.

    Raises
    ------
    NotFoundError
        If there is none.
    ConflictError
        If it has left: nobody can tell whether the device has done it.
    """
    with pool.connection() as connection:
        held = store.lock(connection, command_id, device=device)
        if held is None:
            raise _no_command(device, command_id)
        if held.state != "cancelled":
            after = step(held.state, Cancelled(), deadline_at=held.deadline_at)
            if after is None:
                raise ConflictError(
                    f"command {command_id} is {held.state} and can no longer be taken back",
                    hint="only a queued command can; give the device another one that undoes it",
                )
            store.move(connection, command_id, after, now=now)
        return store.find(connection, device=device, command_id=command_id, limit=1)[0]


def _give(connection: Connection, draft: CommandDraft, *, now: datetime) -> Command:
    target = store.lock_device(connection, draft.device)
    if target is None:
        raise NotFoundError(
            f'there is no device "{draft.device}"', hint="`forecare device list` shows them"
        )
    whole = replace(draft, args=_checked_args(target.product, draft.name, draft.args))
    before = store.find(connection, device=draft.device, command_id=draft.id, limit=1)
    if before:
        if before[0].name != whole.name or not is_same(before[0].args, whole.args):
            raise _other_command(draft.id)
        return before[0]
    if store.count_open(connection, target.device_id) >= OPEN_MAX:
        raise ConflictError(
            f"{draft.device} has {OPEN_MAX} commands waiting, and may have no more",
            hint="wait until it has done some, or take queued ones back",
        )
    store.insert(connection, whole, device_id=target.device_id, now=now)
    store.forget_old(connection, target.device_id, keep=_KEPT)
    return store.find(connection, device=draft.device, command_id=draft.id, limit=1)[0]


def _check_draft(draft: CommandDraft, *, now: datetime) -> None:
    if not _ID.fullmatch(draft.id):
        raise InvalidError(
            f"{draft.id!r} cannot be the id of a command",
            hint='write "c-" and 8 to 62 of the characters A-Z, a-z, 0-9, _ and -',
        )
    if not _NAME.fullmatch(draft.name):
        raise InvalidError(
            f"{draft.name!r} cannot be the name of a command",
            hint="begin with a-z and use only a-z, 0-9 and _, at most 48 characters",
        )
    if not timedelta(0) < draft.deadline_at - now <= DEADLINE_MAX:
        raise InvalidError(
            "the deadline must lie in the future, at most 30 days ahead",
            hint="a device that is not connected by then is never told",
        )
    check_document(draft.args, what="args", bytes_max=ARGS_BYTES_MAX)


def _checked_args(product: Product, name: str, args: Document) -> Document:
    """Return the arguments with their defaults; all of them, if the sheet does not list commands."""
    if not product.commands:
        return args
    known = {known.name: known for known in product.commands}
    if name not in known:
        raise InvalidError(
            f'a {product.title} knows no command "{name}" — {did_you_mean(name, set(known))}'
        )
    wanted = known[name].args
    whole = {arg.name: arg.default for arg in wanted if arg.default is not None} | dict(args)
    faults = faults_of(wanted, whole, kind="argument")
    faults += [f'argument "{arg.name}" is missing' for arg in wanted if whole.get(arg.name) is None]
    if faults:
        raise InvalidError(f"{name}: " + "; ".join(faults))
    return whole


def _no_command(device: str, command_id: str) -> NotFoundError:
    return NotFoundError(
        f"{device} has no command {command_id[:80]!r}",
        hint=f"`forecare device commands {device}` shows them",
    )


def _other_command(command_id: str) -> ConflictError:
    return ConflictError(
        f"the id {command_id} stands for another command already", hint="choose a new id"
    )
