"""Where an export goes: a file that appears whole or not at all, or standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from core.errors import InvalidError

STANDARD_OUTPUT = "-"
_MODE = 0o666


@contextmanager
def open_target(output: str) -> Iterator[IO[bytes]]:
    """Open a target; a file gets its name only when the block has ended well.

    Raises
    ------
    InvalidError
        If the folder is missing or may not be written to.
    """
    if output == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    try:
        # Beside its place, so that the rename stays within one file system.
        draft = NamedTemporaryFile(  # noqa: SIM115 - closed below, before the rename
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
    except OSError as error:
        raise InvalidError(
            f"{output} cannot be written: {error.strerror}", hint="give another --output"
        ) from error
    try:
        with draft:
            yield draft
            draft.flush()
            os.fsync(draft.fileno())
        Path(draft.name).chmod(_MODE & ~_umask())
        Path(draft.name).replace(path)
    except BaseException:  # Ctrl-C, too, leaves nothing behind
        with suppress(FileNotFoundError):
            Path(draft.name).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
