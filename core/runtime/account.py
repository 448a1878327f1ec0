"""Who the servers run as: PostgreSQL refuses root, so root hands over to an unprivileged account."""

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.runtime.errors import NoAccountError

_RUN_SECONDS_MAX = 180  # a start with crash recovery included
_PREFERRED_NAMES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine, by number and name."""

    uid: int
    gid: int
    name: str

    @property
    def is_current(self) -> bool:
        return self.uid == os.geteuid()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        input_text: str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account.

        The drop happens between fork and exec, in the child alone: the caller keeps its rights, and
        nothing has to be imported by an account that may be unable to read the interpreter.
        """
        return subprocess.run(
            [str(word) for word in command],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=dict(environment),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            timeout=_RUN_SECONDS_MAX,
            start_new_session=True,
            umask=0o077,
            pass_fds=pass_fds,
            user=None if self.is_current else self.uid,
            group=None if self.is_current else self.gid,
            extra_groups=None if self.is_current else [],
        )


def server_account(owned: Sequence[Path], *, euid: int | None = None) -> Account:
    """Choose who runs the servers.

    Parameters
    ----------
    owned : sequence of Path
        Folders whose owner is preferred when root has to step down, the most telling one first.
    euid : int, optional
        Whose rights count; the process's own by default.

    Raises
    ------
    NoAccountError
        If the user has no entry in the user database (initdb refuses to work then).
    """
    uid = os.geteuid() if euid is None else euid
    if uid != 0:
        return _current(uid)
    owners = (_owner(folder) for folder in owned)
    candidates = [_by_uid(owner) for owner in owners if owner]
    candidates += [_by_name(name) for name in _PREFERRED_NAMES]
    for account in candidates:
        if account is not None:
            return account
    raise NoAccountError(
        "PostgreSQL refuses to run as root, and this machine has no account to step down to",
        hint="create one: useradd --system --no-create-home postgres",
    )


def can_enter(folder: Path, account: Account) -> bool:
    """Tell whether the account may traverse every existing folder from / down to this one."""
    resolved = folder.resolve()
    return all(
        _may_traverse(part.stat(), account)
        for part in (resolved, *resolved.parents)
        if part.is_dir()
    )


def _may_traverse(facts: os.stat_result, account: Account) -> bool:
    if account.uid in (0, facts.st_uid):
        return account.uid == 0 or bool(facts.st_mode & stat.S_IXUSR)
    if account.gid == facts.st_gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def _current(uid: int) -> Account:
    account = _by_uid(uid)
    if account is None:
        raise NoAccountError(
            f"user id {uid} has no entry in /etc/passwd, and PostgreSQL's initdb refuses to work so",
            hint=f"add one (useradd --uid {uid} forecare), or start the container with a named user",
        )
    return account


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def _by_uid(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(uid=uid, gid=entry.pw_gid, name=entry.pw_name)


def _by_name(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=name) if entry.pw_uid else None
