"""Claiming a device, handing it over, and whose it was when.

Each change is one transaction of the caller or of its own; a crash leaves the device with the owner that
it had, and the code unused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from core.errors import ConflictError, NotFoundError
from core.pool import Connection, Pool
from core.sql import Queries
from gateway import store
from gateway.claims.codes import derive_code, hash_code, read_code
from gateway.records import OwnerDraft, SiteDraft

_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCode:
    """What stands on a device's label, or goes to the next owner."""

    device: str
    serial: str
    product_title: str
    code: str
    """Without dashes: `codes.shown_code` writes it for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    device: str
    product_title: str
    was_owned: bool
    """Somebody else had it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    owner: str
    email: str
    how: str
    actor: str
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    device_id: int
    name: str
    serial: str
    product_title: str
    owner_id: int | None
    is_retired: bool
    turn: int | None
    code_hash: str | None
    used_at: datetime | None


def label_code(pool: Pool, key: bytes, *, name: str, now: datetime) -> ClaimCode:
    """Return the code for a device's label; the same one however often it is printed.

    Raises
    ------
    NotFoundError
        If there is no such device.
    ConflictError
        If the code was used, or was made with another secret key.
    """
    with pool.connection() as connection:
        state = _device(connection, name)
        if state.turn is None:
            return _put(connection, key, state, turn=0, now=now)
        if state.used_at is not None:
            raise ConflictError(
                f"the code of {name} has been used",
                hint=f"`forecare device hand-over {name}` makes one for the next owner",
            )
        code = derive_code(key, device_id=state.device_id, turn=state.turn)
        if hash_code(code) != state.code_hash:
            raise ConflictError(
                f"the code of {name} was made with another FORECARE_SECRET_KEY",
                hint=f"its label is still good; `forecare device hand-over {name}` makes a new code",
            )
        return _code(state, code)


def hand_over(
    pool: Pool, key: bytes, *, name: str, owner_id: int | None, now: datetime
) -> ClaimCode:
    """Make a code with which somebody else takes the device; until then it stays where it is.

    Parameters
    ----------
    owner_id : int or None
        Whoever hands it over; None: the manufacturer, who may do it for anybody.
    """
    with pool.connection() as connection:
        state = _device(connection, name)
        if owner_id is not None and state.owner_id != owner_id:
            raise _no_device(name)
        return _put(connection, key, state, turn=(state.turn or 0) + 1, now=now)


def look_up(pool: Pool, *, code: str) -> ClaimCode:
    """Say which device a code is for, changing nothing.

    Raises
    ------
    InvalidError, NotFoundError, ConflictError
        If it cannot be a code, is nobody's, or has been used.
    """
    read = read_code(code)
    with pool.connection() as connection:
        state = _usable(connection, read)
    return _code(state, read)


def claim(  # noqa: PLR0913 - who takes what, where it stands, who says so
    connection: Connection,
    *,
    code: str,
    owner_id: int,
    site: SiteDraft | None,
    actor: str,
    now: datetime,
) -> Claimed:
    """Give a device to an owner who has its code; commits nothing.

    Raises
    ------
    InvalidError, NotFoundError, ConflictError
        If it cannot be a code, is nobody's, has been used, or the device has an owner who did not hand it
        over.
    """
    state = _usable(connection, read_code(code))
    if state.owner_id not in (None, owner_id) and state.turn == 0:
        raise ConflictError(
            "this device is registered for somebody else",
            hint="ask that person to hand it over, or ask your dealer",
        )
    connection.execute(_queries["use_claim"], {"device_id": state.device_id, "now": now})
    if state.owner_id == owner_id:
        return Claimed(device=state.name, product_title=state.product_title, was_owned=False)
    was_owned = _give(
        connection, state, owner_id=owner_id, site=site, how="claimed", actor=actor, now=now
    )
    return Claimed(device=state.name, product_title=state.product_title, was_owned=was_owned)


def new_owner(connection: Connection, draft: OwnerDraft) -> int:
    """Add an owner whom nobody knows yet; commits nothing.

    Raises
    ------
    ConflictError
        If the address is known: whoever claims it now need not be that person.
    """
    known = connection.execute(
        _queries["owner_of_email"], {"email": draft.email.strip().lower()}
    ).fetchone()
    if known is not None:
        raise ConflictError(
            "this e-mail address is known here",
            hint="sign in with it; if you have no password, ask your dealer for your account",
        )
    return store.upsert_owner(connection, draft)


def transfer(pool: Pool, *, name: str, to: OwnerDraft, actor: str, now: datetime) -> Claimed:
    """Give a device to an owner at once, without a code; codes that are about are void.

    Raises
    ------
    NotFoundError
        If there is no such device.
    ConflictError
        If it is that owner's already.
    """
    with pool.connection() as connection:
        state = _device(connection, name)
        known = connection.execute(
            _queries["owner_of_email"], {"email": to.email.strip().lower()}
        ).fetchone()
        owner_id = int(known[0]) if known else store.upsert_owner(connection, to)
        if state.owner_id == owner_id:
            raise ConflictError(f"{name} belongs to {to.email} already")
        connection.execute(_queries["use_claim"], {"device_id": state.device_id, "now": now})
        was_owned = _give(
            connection, state, owner_id=owner_id, site=None, how="transferred", actor=actor, now=now
        )
    return Claimed(device=name, product_title=state.product_title, was_owned=was_owned)


def ownerships(pool: Pool, *, name: str) -> Sequence[Ownership]:
    """Return whose a device was, oldest first; for the manufacturer alone."""
    with (
        pool.connection() as connection,
        connection.cursor(row_factory=class_row(Ownership)) as rows,
    ):
        return rows.execute(_queries["ownerships"], {"name": name}).fetchall()


def _give(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    state: _State,
    *,
    owner_id: int,
    site: SiteDraft | None,
    how: str,
    actor: str,
    now: datetime,
) -> bool:
    connection.execute(_queries["note_former_owner"], {"device_id": state.device_id})
    had = connection.execute(_queries["had_owner"], {"device_id": state.device_id}).fetchone()
    site_id = store.insert_site(connection, site, owner_id=owner_id) if site else None
    row = {"device_id": state.device_id, "owner_id": owner_id, "site_id": site_id}
    connection.execute(_queries["give_device"], row)
    store.begin_ownership(
        connection, state.device_id, owner_id=owner_id, how=how, actor=actor, now=now
    )
    return bool(had and had[0])


def _put(
    connection: Connection, key: bytes, state: _State, *, turn: int, now: datetime
) -> ClaimCode:
    code = derive_code(key, device_id=state.device_id, turn=turn)
    row = {
        "device_id": state.device_id,
        "turn": turn,
        "code_hash": hash_code(code),
        "now": now,
    }
    connection.execute(_queries["put_claim"], row)
    return _code(state, code)


def _usable(connection: Connection, code: str) -> _State:
    state = _state(connection, name=None, code_hash=hash_code(code))
    if state is None or state.is_retired:
        raise NotFoundError(
            "no device has this code (any more)",
            hint="look at the label; after a hand-over only the newest code counts",
        )
    if state.used_at is not None:
        raise ConflictError(
            "this code has been used",
            hint="if the device is yours now, ask the former owner or your dealer for a new code",
        )
    return state


def _device(connection: Connection, name: str) -> _State:
    state = _state(connection, name=name, code_hash=None)
    if state is None or state.is_retired:
        raise _no_device(name)
    return state


def _state(connection: Connection, *, name: str | None, code_hash: str | None) -> _State | None:
    with connection.cursor(row_factory=class_row(_State)) as cursor:
        wanted = {"name": name, "code_hash": code_hash}
        return cursor.execute(_queries["claim_state"], wanted).fetchone()


def _code(state: _State, code: str) -> ClaimCode:
    return ClaimCode(
        device=state.name, serial=state.serial, product_title=state.product_title, code=code
    )


def _no_device(name: str) -> NotFoundError:
    return NotFoundError(
        f'there is no device "{name}", or it is not yours', hint="`forecare device list` shows them"
    )
