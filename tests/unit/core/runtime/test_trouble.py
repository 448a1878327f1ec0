"""Trouble is told in sentences: full disks, accounts, logs, progress."""

import errno
import io
from pathlib import Path

import pytest
from rich.console import Console

from core.errors import RetryableError
from core.runtime.account import Account, can_enter, server_account
from core.runtime.disk import disk_trouble_explained, require_space, tells_full_disk
from core.runtime.errors import DiskFullError, NoAccountError, WrongOwnerError
from core.runtime.logs import recent_errors
from core.runtime.progress import console_progress

_UNKNOWN_UID = 1_999_999_999
_HERE = Path("/srv/forecare")


def test_too_little_space_is_told_before_anything_begins():
    with pytest.raises(DiskFullError, match="needs 400 MB in /srv/forecare, and 5 MB are free"):
        require_space(_HERE, needed=400_000_000, purpose="x", reader=lambda _: 5_000_000)


def test_enough_space_is_silent():
    require_space(_HERE, needed=10, purpose="x", reader=lambda _: 10)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_runs_full_half_way_is_told_with_its_place_and_remedy(number):
    with (
        pytest.raises(DiskFullError, match=r"ran full: unpacking in /srv/forecare") as caught,
        disk_trouble_explained(_HERE, purpose="unpacking"),
    ):
        raise OSError(number, "full")

    assert "free some space" in caught.value.hint
    assert isinstance(caught.value, RetryableError)


def test_a_read_only_disk_is_told_too():
    with (
        pytest.raises(WrongOwnerError, match="read-only"),
        disk_trouble_explained(_HERE, purpose="unpacking"),
    ):
        raise OSError(errno.EROFS, "read-only", "/srv/x")


def test_other_errors_pass_through():
    with pytest.raises(IsADirectoryError), disk_trouble_explained(_HERE, purpose="unpacking"):
        raise IsADirectoryError


def test_what_tar_and_apt_say_about_a_full_disk_is_understood():
    assert tells_full_disk("tar: ./usr/x: Cannot write: No space left on device")
    assert tells_full_disk("E: You don't have enough free space in /x/debs/.")
    assert not tells_full_disk("tar: Exiting with failure status")


def test_an_id_without_an_entry_in_the_user_database_is_refused_with_a_remedy():
    with pytest.raises(NoAccountError, match=str(_UNKNOWN_UID)) as caught:
        server_account([], euid=_UNKNOWN_UID)

    assert "useradd" in caught.value.hint


def test_root_never_runs_a_server():
    assert server_account([Path("/")], euid=0).uid != 0


def test_everybody_may_enter_the_root_folder():
    assert can_enter(Path("/"), Account(uid=_UNKNOWN_UID, gid=_UNKNOWN_UID, name="x"))


def test_errors_are_picked_out_of_a_log():
    log = "2026 LOG:  ready\n2026 FATAL:  no room\n1764: Error: Address in use\n1764: Opening\n"

    assert recent_errors(log) == ["2026 FATAL:  no room", "1764: Error: Address in use"]


def test_a_log_file_gets_a_line_per_quarter_and_no_bars():
    out = io.StringIO()
    progress = console_progress(Console(file=out, force_terminal=False))

    with progress.task("downloading", total=4_000_000, in_bytes=True) as task:
        for amount in range(0, 4_000_001, 500_000):
            task.done(amount)

    assert out.getvalue().splitlines() == [
        "downloading …",
        "downloading: 1.0 MB of 4.0 MB",
        "downloading: 2.0 MB of 4.0 MB",
        "downloading: 3.0 MB of 4.0 MB",
        "downloading: 4.0 MB of 4.0 MB",
    ]
