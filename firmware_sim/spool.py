"""The durable spool of a fleet: a message stays here until the platform has said `stored`.

One SQLite file for all devices of a process, with a column for the device: a block of samples for the
whole fleet is one transaction and one fsync, where a file per device would cost one each. Appends are
durable when they return (WAL, synchronous=FULL). Confirmations are kept in memory for a moment and
written together: a crash in between only makes a device send something twice, which changes nothing.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.payload import Body

_SCHEMA = """
create table if not exists stream (
    device text primary key,
    boot integer not null default 0,
    next_seq integer not null default 0,
    mark integer not null,            -- how far its source has been read; the owner of the spool says of what
    made integer not null default 0,  -- samples
    confirmed integer not null default 0
);
create table if not exists message (
    id integer primary key,
    device text not null,
    boot integer not null,
    seq integer not null,
    samples integer not null,
    body blob not null
);
create table if not exists connection (
    device text primary key,
    number integer not null  -- of those that were begun; only devices that have to tell it are counted
);
create unique index if not exists message_order on message (device, boot, seq);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    boot: int
    seq: int
    samples: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    made: int
    confirmed: int


class Spool:
    """All methods are called from one thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma page_size = 16384")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma wal_autocheckpoint = 4000")
        self._db.executescript(_SCHEMA)
        self._confirmed: dict[tuple[str, int], int] = {}
        self._waiting: dict[str, int] = dict(
            self._db.execute("select device, count(*) from message group by device")
        )

    def start(self, device: str, *, mark: int) -> int:
        """Count a start of the device and return its new boot. `mark` counts at the first start only."""
        self._db.execute(
            "insert into stream (device, mark) values (?, ?) on conflict (device) do nothing",
            (device, mark),
        )
        row = self._db.execute(
            "update stream set boot = boot + 1, next_seq = 0 where device = ? returning boot",
            (device,),
        ).fetchone()
        return int(row[0])

    def count_connection(self, device: str) -> int:
        """Count a connection that is about to be made and return its number, from 0 on."""
        row = self._db.execute(
            "insert into connection (device, number) values (?, 0)"
            " on conflict (device) do update set number = number + 1 returning number",
            (device,),
        ).fetchone()
        return int(row[0])

    def mark(self, device: str) -> int:
        """How far the source of this device has been read."""
        row = self._db.execute("select mark from stream where device = ?", (device,)).fetchone()
        return int(row[0])

    def append(self, entries: Iterable[tuple[str, Sequence[Body]]], *, mark: int) -> None:
        """Take in messages of devices and move their marks: all of it is on disk, or nothing."""
        self._db.execute("begin immediate")
        try:
            for device, bodies in entries:
                self._append(device, bodies, mark)
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def _append(self, device: str, bodies: Sequence[Body], mark: int) -> None:
        boot, seq = self._db.execute(
            "select boot, next_seq from stream where device = ?", (device,)
        ).fetchone()
        self._db.executemany(
            "insert into message (device, boot, seq, samples, body) values (?, ?, ?, ?, ?)",
            [(device, boot, seq + i, body.samples, body.encoded) for i, body in enumerate(bodies)],
        )
        self._db.execute(
            "update stream set next_seq = ?, mark = ?, made = made + ? where device = ?",
            (seq + len(bodies), mark, sum(body.samples for body in bodies), device),
        )
        self._waiting[device] = self._waiting.get(device, 0) + len(bodies)

    def after(self, device: str, *, boot: int, seq: int, limit: int) -> list[Message]:
        """The oldest waiting messages behind a place, oldest boot first."""
        rows = self._db.execute(
            "select boot, seq, samples, body from message where device = ? and (boot, seq) > (?, ?)"
            " order by boot, seq limit ?",
            (device, boot, seq, limit),
        )
        return [Message(boot=b, seq=s, samples=n, body=body) for b, s, n, body in rows]

    def newest(self, device: str) -> Message | None:
        """The message that was taken in last, if it is still waiting."""
        row = self._db.execute(
            "select boot, seq, samples, body from message where device = ?"
            " order by boot desc, seq desc limit 1",
            (device,),
        ).fetchone()
        if row is None:
            return None
        boot, seq, samples, body = row
        return Message(boot=boot, seq=seq, samples=samples, body=body)

    def lowest(self, device: str) -> dict[int, int]:
        """The lowest waiting number of each boot: everything below it has been confirmed."""
        rows = self._db.execute(
            "select boot, min(seq) from message where device = ? group by boot", (device,)
        )
        return {int(boot): int(seq) for boot, seq in rows}

    def confirm(self, device: str, *, boot: int, seq: int) -> None:
        """Let go of this boot's messages up to and including `seq` at the next `flush`."""
        key = (device, boot)
        self._confirmed[key] = max(seq, self._confirmed.get(key, -1))

    def flush(self) -> None:
        """Write the confirmations of the last moment."""
        if not self._confirmed:
            return
        self._db.execute("begin immediate")
        for (device, boot), seq in self._confirmed.items():
            where = (device, boot, seq)
            messages, samples = self._db.execute(
                "select count(*), coalesce(sum(samples), 0) from message"
                " where device = ? and boot = ? and seq <= ?",
                where,
            ).fetchone()
            self._db.execute(
                "delete from message where device = ? and boot = ? and seq <= ?", where
            )
            self._db.execute(
                "update stream set confirmed = confirmed + ? where device = ?", (samples, device)
            )
            self._waiting[device] = self._waiting.get(device, 0) - messages
        self._db.execute("commit")
        self._confirmed.clear()

    def waiting(self, device: str) -> int:
        """Messages that are not confirmed, as of the last flush."""
        return self._waiting.get(device, 0)

    def waiting_in_all(self) -> int:
        return sum(self._waiting.values())

    def counts(self) -> dict[str, Count]:
        rows = self._db.execute("select device, made, confirmed from stream order by device")
        return {device: Count(made=made, confirmed=done) for device, made, done in rows}

    def close(self) -> None:
        self.flush()
        self._db.close()
