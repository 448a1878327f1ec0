"""Files of numbers, plain or compressed (.gz)."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from anomaly.records import FloatArray
from core.errors import InvalidError


def find(folder: Path, name: str) -> Path:
    """Return the file of that name, or its compressed form.

    Raises
    ------
    InvalidError
        If there is neither.
    """
    found = find_optional(folder, name)
    if found is None:
        raise InvalidError(
            f"{folder} has neither {name} nor {name}.gz",
            hint="give with --data the folder that has the recording's files",
        )
    return found


def find_optional(folder: Path, name: str) -> Path | None:
    """Return the file of that name, or its compressed form; None where there is neither."""
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    return None


def read_numbers(
    file: Path, *, width: int | None = None, delimiter: str | None = None, header: int = 0
) -> FloatArray:
    """Read a file of numbers.

    Parameters
    ----------
    width : int, optional
        Columns that each row must have; by default as many as the first one.
    delimiter : str, optional
        Between numbers; by default any blanks.
    header : int
        Lines to skip.

    Returns
    -------
    ndarray, shape (rows, width)

    Raises
    ------
    InvalidError
        If the file has no rows, or one of them is not `width` numbers.
    """
    needed = f"each row needs {width} numbers" if width else "each row needs as many numbers"
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as stream:
            lines = [line for line in stream if line.strip()][header:]
            rows = np.loadtxt(lines or ["0"], delimiter=delimiter, ndmin=2)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        what = str(error).partition(";")[0]
        raise InvalidError(f"{file} is no table of numbers: {what}", hint=needed) from None
    if not lines:
        raise InvalidError(f"{file} has no rows", hint="is the file whole?")
    if width is not None and rows.shape[1] != width:
        raise InvalidError(
            f"{file} has {rows.shape[0]} rows of {rows.shape[1]} columns",
            hint=needed,
        )
    return np.asarray(rows, dtype=np.float64)
