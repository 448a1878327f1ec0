"""Recognising processes from what the kernel tells about them."""

import os
from pathlib import Path
from signal import SIGTERM

from core.runtime.account import Account
from core.runtime.processes import (
    OwnProcesses,
    is_alive,
    parse_place,
    parse_stat,
    process_facts,
    wait_until_gone,
)

_TAIL = "0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 100"
_PID_MAX_EVER = 2**22 + 1  # the kernel never hands it out


def test_a_command_may_hold_blanks_and_parentheses():
    facts = parse_stat(f"42 (tmux: (1) x) S 7 42 42 {_TAIL}")

    assert (facts.pid, facts.command, facts.parent) == (42, "tmux: (1) x", 7)
    assert facts.started_ticks == 987654


def test_a_zombie_is_not_alive():
    assert not parse_stat(f"42 (postgres) Z 1 42 42 {_TAIL}").is_alive
    assert parse_stat(f"42 (postgres) S 1 42 42 {_TAIL}").is_alive


def test_a_place_is_a_device_and_an_inode():
    assert parse_place("2049 131 /proc/77/cwd") == (77, (2049, 131))


def test_a_process_that_does_not_exist_has_no_facts_and_is_gone():
    assert process_facts(_PID_MAX_EVER) is None
    assert not is_alive(_PID_MAX_EVER)
    assert wait_until_gone(_PID_MAX_EVER, 0)


def test_only_a_process_with_the_same_folder_program_and_user_is_ours():
    facts = process_facts(os.getpid())
    assert facts is not None
    me = Account(uid=os.getuid(), gid=os.getgid(), name="me")
    here, command = Path.cwd(), facts.command

    assert OwnProcesses(folder=here, command=command, account=me).owns(os.getpid())
    assert not OwnProcesses(folder=Path("/proc"), command=command, account=me).owns(os.getpid())
    assert not OwnProcesses(folder=here, command="postgres", account=me).owns(os.getpid())
    other = Account(uid=os.getuid() + 1, gid=os.getgid(), name="other")
    assert not OwnProcesses(folder=here, command=command, account=other).owns(os.getpid())


def test_a_stranger_is_never_signalled():
    me = Account(uid=os.getuid(), gid=os.getgid(), name="me")
    ours = OwnProcesses(folder=Path("/proc"), command="postgres", account=me)

    assert not ours.signal(os.getpid(), SIGTERM)
    assert not ours.signal(_PID_MAX_EVER, SIGTERM)


def test_a_folder_that_is_gone_has_no_processes():
    me = Account(uid=os.getuid(), gid=os.getgid(), name="me")

    assert OwnProcesses(folder=Path("/nowhere/at/all"), command="postgres", account=me).pids() == ()
