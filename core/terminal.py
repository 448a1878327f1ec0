"""Tables for people: fitted to a terminal, whole in a file or a pipe, and harmless."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDTH_OF_A_FILE = 200


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output.

    Nothing is cut off: what does not fit goes on in the next line of its cell. What strangers wrote
    (names, reasons) is shown as it is, and cannot colour or steer somebody's terminal.
    """
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    table_console().print(table)


def table_console() -> Console:
    """Return a console that does not take a file for a terminal of 80 columns."""
    return Console(
        width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE,
        markup=False,
        emoji=False,
        highlight=False,
    )


def printable(text: str) -> str:
    """Return the text with control characters spelled out. Pure."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
