"""Free space: asked before, and understood when it runs out half-way."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.runtime.errors import DiskFullError, WrongOwnerError

MEGABYTE = 1_000_000
FULL_DISK_WORDS = ("No space left on device", "Disk quota exceeded", "don't have enough free space")

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    """Return the space that the nearest existing folder has left, in bytes."""
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    return shutil.disk_usage(existing).free


def require_space(
    folder: Path, *, needed: int, purpose: str, reader: FreeBytes = free_bytes
) -> None:
    """Refuse to begin what cannot be finished.

    Raises
    ------
    DiskFullError
        If fewer than `needed` bytes are free.
    """
    free = reader(folder)
    if free < needed:
        raise DiskFullError(
            f"{purpose} needs {needed // MEGABYTE} MB in {folder}, and {free // MEGABYTE} MB are free",
            hint="free some space, or choose another place with FORECARE_RUNTIME_DIR",
        )


@contextmanager
def disk_trouble_explained(folder: Path, *, purpose: str) -> Iterator[None]:
    """Turn what a disk refuses to our own writes into a sentence: where, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(folder, purpose=purpose) from error
        if error.errno == errno.EROFS:
            raise WrongOwnerError(
                f"{purpose}: {error.filename or folder} is on a read-only disk",
                hint="choose another place with FORECARE_RUNTIME_DIR",
            ) from error
        raise


def tells_full_disk(output: str) -> bool:
    return any(words in output for words in FULL_DISK_WORDS)


def full_disk(folder: Path, *, purpose: str) -> DiskFullError:
    return DiskFullError(
        f"the disk ran full: {purpose} in {folder}",
        hint="free some space there, or choose another place with FORECARE_RUNTIME_DIR, and run"
        " the command again; what was half done has been removed",
    )
