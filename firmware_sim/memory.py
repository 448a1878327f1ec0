"""What devices keep through a restart besides their spool: one SQLite file for all of a process.

Settings and firmware with their instants, commands that are done, and a firmware update with the
pieces that have come. Each change is on disk before the device says so to anybody.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.history import FirmwareFault, FirmwareFrom, History, SettingsFrom

_COMMANDS_KEPT = 100
_SCHEMA = """
create table if not exists device (
    name text primary key,
    config_version integer not null default 0,
    firmware text not null default ''
);
create table if not exists settings (device text not null, at_s integer not null, body text not null);
create table if not exists firmware (
    device text not null, at_s integer not null, version text not null, fault text not null);
create table if not exists command (
    number integer primary key, device text not null, id text not null, name text not null,
    outcome text not null default '',     -- empty: begun and not done
    result text not null default 'null',
    is_told integer not null default 0,   -- the broker has taken the outcome
    unique (device, id));
create table if not exists offer (
    device text primary key, body text not null, state text not null, error text not null default '',
    tries integer not null default 0);
create table if not exists piece (
    device text not null, number integer not null, body blob not null, primary key (device, number));
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A command that the device has begun; `outcome` is empty until it is done or has failed."""

    id: str
    name: str
    outcome: str
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOffer:
    """A firmware update that the device has begun."""

    body: Mapping[str, Any]
    state: str
    error: str
    tries: int


class Memory:
    """All methods are called from one thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)

    def add(self, device: str, *, firmware: str) -> None:
        """Let a device have a memory; `firmware` counts at the first time only."""
        self._db.execute(
            "insert into device (name, firmware) values (?, ?) on conflict (name) do nothing",
            (device, firmware),
        )

    def firmware(self, device: str) -> str:
        return str(self._one("select firmware from device where name = ?", device))

    def config_version(self, device: str) -> int:
        return int(self._one("select config_version from device where name = ?", device))

    def history(self, device: str) -> History:
        settings = self._db.execute(
            "select at_s, body from settings where device = ? order by rowid", (device,)
        )
        firmware = self._db.execute(
            "select at_s, version, fault from firmware where device = ? order by rowid", (device,)
        )
        return History(
            settings=[SettingsFrom(at_s=at, values=json.loads(body)) for at, body in settings],
            firmware=[
                FirmwareFrom(at_s=at, version=version, fault=_fault(json.loads(text)))
                for at, version, text in firmware
            ],
        )

    def apply_settings(self, device: str, entry: SettingsFrom, *, version: int) -> None:
        """Keep new settings and the version of the configuration that they come from."""
        with self._transaction():
            self._db.execute(
                "insert into settings values (?, ?, ?)",
                (device, entry.at_s, json.dumps(dict(entry.values))),
            )
            self._set_version(device, version)

    def confirm_version(self, device: str, version: int) -> None:
        """Keep the version of a configuration that changes no setting of this device."""
        self._set_version(device, version)

    def apply_firmware(self, device: str, entry: FirmwareFrom) -> None:
        """Run another firmware from now on, and forget the update that brought it."""
        fault = entry.fault
        text = [fault.failure_mode, fault.wear, fault.days] if fault else None
        with self._transaction():
            self._db.execute(
                "insert into firmware values (?, ?, ?, ?)",
                (device, entry.at_s, entry.version, json.dumps(text)),
            )
            self._db.execute(
                "update device set firmware = ? where name = ?", (entry.version, device)
            )
            self._forget_offer(device)

    def deed(self, device: str, command_id: str) -> Deed | None:
        row = self._db.execute(
            "select id, name, outcome, result from command where device = ? and id = ?",
            (device, command_id),
        ).fetchone()
        return _deed(row) if row else None

    def open_deeds(self, device: str) -> list[Deed]:
        """Return commands that were begun and are not done, oldest first."""
        return self._deeds("outcome = ''", device)

    def untold_deeds(self, device: str) -> list[Deed]:
        """Return outcomes that may not have reached anybody, oldest first."""
        return self._deeds("outcome <> '' and not is_told", device)

    def begin_deed(self, device: str, command_id: str, name: str) -> None:
        """Note a command before it is done, and forget the oldest of those that are long over."""
        with self._transaction():
            self._db.execute(
                "insert into command (device, id, name) values (?, ?, ?)",
                (device, command_id, name),
            )
            self._db.execute(
                "delete from command where device = ? and outcome <> '' and number not in"
                " (select number from command where device = ? order by number desc limit ?)",
                (device, device, _COMMANDS_KEPT),
            )

    def end_deed(self, device: str, command_id: str, *, outcome: str, result: Any) -> None:
        self._db.execute(
            "update command set outcome = ?, result = ? where device = ? and id = ?",
            (outcome, json.dumps(result), device, command_id),
        )

    def note_told(self, device: str, command_id: str) -> None:
        self._db.execute(
            "update command set is_told = 1 where device = ? and id = ?", (device, command_id)
        )

    def offer(self, device: str) -> KeptOffer | None:
        row = self._db.execute(
            "select body, state, error, tries from offer where device = ?", (device,)
        ).fetchone()
        if row is None:
            return None
        return KeptOffer(body=json.loads(row[0]), state=row[1], error=row[2], tries=row[3])

    def keep_offer(self, device: str, offer: KeptOffer) -> None:
        self._db.execute(
            "insert into offer values (?, ?, ?, ?, ?) on conflict (device) do update set"
            " body = excluded.body, state = excluded.state, error = excluded.error,"
            " tries = excluded.tries",
            (device, json.dumps(dict(offer.body)), offer.state, offer.error, offer.tries),
        )

    def forget_offer(self, device: str) -> None:
        with self._transaction():
            self._forget_offer(device)

    def keep_piece(self, device: str, number: int, body: bytes) -> None:
        self._db.execute("insert or ignore into piece values (?, ?, ?)", (device, number, body))

    def pieces(self, device: str) -> int:
        """Return how many pieces there are from the first one on without a hole."""
        return int(
            self._one(
                "select count(*) from (select number, row_number() over (order by number) - 1 as place"
                " from piece where device = ?) where number = place",
                device,
            )
        )

    def image(self, device: str) -> bytes:
        rows = self._db.execute(
            "select body from piece where device = ? order by number", (device,)
        )
        return b"".join(row[0] for row in rows)

    def forget_pieces(self, device: str) -> None:
        self._db.execute("delete from piece where device = ?", (device,))

    def close(self) -> None:
        self._db.close()

    def _set_version(self, device: str, version: int) -> None:
        self._db.execute("update device set config_version = ? where name = ?", (version, device))

    def _forget_offer(self, device: str) -> None:
        self._db.execute("delete from offer where device = ?", (device,))
        self._db.execute("delete from piece where device = ?", (device,))

    def _deeds(self, condition: str, device: str) -> list[Deed]:
        rows = self._db.execute(
            f"select id, name, outcome, result from command where device = ? and {condition}"  # noqa: S608 - a text of our own
            " order by number",
            (device,),
        )
        return [_deed(row) for row in rows]

    def _one(self, query: str, device: str) -> Any:
        return self._db.execute(query, (device,)).fetchone()[0]

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """All of it is on disk, or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("commit" if kind is None else "rollback")


def _deed(row: tuple[str, str, str, str]) -> Deed:
    return Deed(id=row[0], name=row[1], outcome=row[2], result=json.loads(row[3]))


def _fault(text: Any) -> FirmwareFault | None:
    if text is None:
        return None
    return FirmwareFault(failure_mode=text[0], wear=text[1], days=text[2])
