"""What an instance remembers between runs, and the lock that keeps two commands apart."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from core.runtime.errors import WrongOwnerError
from core.runtime.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Remembered facts; the password exists nowhere else."""

    password: str = ""
    postgres_port: int | None = None
    mqtt_port: int | None = None
    mqtts_port: int | None = None
    mqtt_tls_port: int | None = None
    provision_port: int | None = None
    extension_version: str = ""


def load_state(file: Path) -> State:
    """Read the state; a missing or unreadable file is an empty memory.

    Raises
    ------
    WrongOwnerError
        If the file belongs to somebody else.
    """
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        return State()
    except PermissionError as error:
        raise wrong_owner(file) from error
    except ValueError:  # cut off by a crash of the machine; the password is set anew
        return State()
    known = {field.name for field in fields(State)}
    return State(**{name: value for name, value in content.items() if name in known})


def save_state(file: Path, state: State) -> None:
    """Replace the state at once; only the folder's owner (and root) can read it."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(asdict(state), out)
        out.flush()
        os.fsync(out.fileno())
        _give_to_owner_of(file.parent, out.fileno())
    draft.replace(file)


@contextmanager
def locked(file: Path, *, purpose: str, progress: Progress) -> Iterator[None]:
    """Hold the lock; wait, and say so, while another process holds it.

    The kernel lets go of it when the holder dies, also by kill -9.
    """
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise wrong_owner(file) from error
    try:
        _give_to_owner_of(file.parent, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(f"waiting for another process: {purpose}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def wrong_owner(file: Path) -> WrongOwnerError:
    """Say whose the nearest existing folder is, and what to do."""
    existing = next(part for part in (file, *file.parents) if part.exists())
    try:
        owner = existing.owner()
    except (OSError, KeyError):
        owner = "somebody else"
    return WrongOwnerError(
        f"{existing} belongs to {owner}, and this command runs as user id {os.geteuid()}",
        hint=f"run it as {owner}, or use a folder of your own:"
        " FORECARE_RUNTIME_DIR=~/forecare-runtime",
    )


def _give_to_owner_of(folder: Path, handle: int) -> None:
    """What root writes in an ordinary user's folder stays that user's."""
    if os.geteuid() == 0:
        facts = folder.stat()
        os.fchown(handle, facts.st_uid, facts.st_gid)
