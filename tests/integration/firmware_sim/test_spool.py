"""The spool on a real disk."""

import sqlite3

import pytest

from firmware_sim.payload import Body
from firmware_sim.spool import Spool

BODIES = [Body(samples=2, encoded=b"[%d]" % i) for i in range(5)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool.db"


def waiting(spool, device="pump"):
    return [(m.boot, m.seq) for m in spool.after(device, boot=-1, seq=-1, limit=100)]


def test_numbers_count_from_zero_in_each_boot_without_a_hole(path):
    spool = Spool(path)

    assert spool.start("pump", mark=100) == 1
    spool.append([("pump", BODIES[:2])], mark=160)
    spool.append([("pump", BODIES[2:3])], mark=220)
    assert spool.start("pump", mark=100) == 2
    spool.append([("pump", BODIES[3:])], mark=280)

    assert waiting(spool) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert spool.mark("pump") == 280
    spool.close()


def test_a_process_that_dies_between_publish_and_stored_keeps_its_messages(path):
    dying = Spool(path)
    dying.start("pump", mark=0)
    dying.append([("pump", BODIES)], mark=60)
    before = dying.after("pump", boot=-1, seq=-1, limit=100)

    risen = Spool(path)  # the first one was never closed

    assert risen.after("pump", boot=-1, seq=-1, limit=100) == before
    assert risen.waiting("pump") == 5
    risen.close()
    dying.close()


def test_a_confirmation_that_was_not_written_yet_is_forgotten_by_a_crash_and_no_harm_done(path):
    dying = Spool(path)
    dying.start("pump", mark=0)
    dying.append([("pump", BODIES)], mark=60)
    dying.confirm("pump", boot=1, seq=4)

    risen = Spool(path)

    assert len(waiting(risen)) == 5
    risen.close()
    dying.close()


def test_a_confirmation_lets_go_of_its_own_boot_alone(path):
    spool = Spool(path)
    spool.start("pump", mark=0)
    spool.append([("pump", BODIES[:3])], mark=60)
    spool.start("pump", mark=0)
    spool.append([("pump", BODIES[3:])], mark=120)

    spool.confirm("pump", boot=2, seq=0)
    spool.flush()

    assert waiting(spool) == [(1, 0), (1, 1), (1, 2), (2, 1)]
    assert spool.lowest("pump") == {1: 0, 2: 1}
    assert spool.counts()["pump"].confirmed == 2
    spool.close()


def test_a_confirmation_counts_once_however_often_it_comes(path):
    spool = Spool(path)
    spool.start("pump", mark=0)
    spool.append([("pump", BODIES)], mark=60)

    for seq in (1, 1, 0, 3):
        spool.confirm("pump", boot=1, seq=seq)
        spool.flush()

    assert waiting(spool) == [(1, 4)]
    assert spool.counts()["pump"].confirmed == 8
    assert spool.waiting_in_all() == 1
    spool.close()


def test_devices_do_not_see_each_other(path):
    spool = Spool(path)
    for device in ("pump", "fan"):
        spool.start(device, mark=0)
    spool.append([("pump", BODIES), ("fan", BODIES[:1])], mark=60)

    spool.confirm("pump", boot=1, seq=9)
    spool.flush()

    assert waiting(spool, "fan") == [(1, 0)]
    assert waiting(spool, "pump") == []
    spool.close()


def test_a_block_of_the_fleet_is_taken_in_whole_or_not_at_all(path):
    spool = Spool(path)
    spool.start("pump", mark=0)

    with pytest.raises(TypeError):  # the second device was never started
        spool.append([("pump", BODIES), ("stranger", BODIES)], mark=60)

    assert waiting(spool) == []
    assert spool.mark("pump") == 0
    spool.close()


def test_appends_are_on_disk_when_they_return(path):
    spool = Spool(path)
    spool.start("pump", mark=0)
    other = sqlite3.connect(path)

    assert spool._db.execute("pragma synchronous").fetchone() == (2,)  # full
    assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    other.close()
    spool.close()
