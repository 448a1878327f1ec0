"""How long work is shown: bars on a terminal, plain lines in a log, nothing in a test."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
)
from rich.progress import Progress as RichBars

_PLAIN_STEPS = 4  # a plain log gets a line per quarter, not one per package
_MEGABYTE = 1_000_000


class Task(Protocol):
    """One piece of work under way."""

    def done(self, amount: int) -> None:
        """Report how much is done in all."""


class Progress(Protocol):
    """Where the runtime says what it is doing."""

    def note(self, text: str) -> None:
        """Say something worth keeping."""

    def task(
        self, label: str, *, total: int = 0, in_bytes: bool = False
    ) -> AbstractContextManager[Task]:
        """Show work; `total` 0 means that nobody knows how long it takes."""


class SilentProgress:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Drop it."""

    @contextmanager
    def task(self, label: str, *, total: int = 0, in_bytes: bool = False) -> Iterator[Task]:
        del label, total, in_bytes
        yield _NoTask()


class PlainProgress:
    """Writes one line per fact, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, *, total: int = 0, in_bytes: bool = False) -> Iterator[Task]:
        self.note(f"{label} …")
        yield _PlainTask(self, label, total=total, in_bytes=in_bytes)


class RichProgress:
    """Draws a spinner or a bar that goes away when the work is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, *, total: int = 0, in_bytes: bool = False) -> Iterator[Task]:
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}")]
        if total:
            columns += [BarColumn(), DownloadColumn() if in_bytes else MofNCompleteColumn()]
        with RichBars(*columns, console=self._console, transient=True) as bars:
            yield _RichTask(bars, label, total=total)


def console_progress(console: Console | None = None) -> Progress:
    """Return bars for a terminal and lines for everything else."""
    out = console or Console(stderr=True)
    return RichProgress(out) if out.is_terminal else PlainProgress(out)


SILENT: Progress = SilentProgress()


class _NoTask:
    def done(self, amount: int) -> None:
        """Drop it."""


class _PlainTask:
    def __init__(self, progress: PlainProgress, label: str, *, total: int, in_bytes: bool) -> None:
        self._progress = progress
        self._label = label
        self._total = total
        self._in_bytes = in_bytes
        self._quarters_said = 0

    def done(self, amount: int) -> None:
        quarters = amount * _PLAIN_STEPS // self._total if self._total else 0
        if quarters <= self._quarters_said:
            return
        self._quarters_said = quarters
        self._progress.note(f"{self._label}: {self._shown(amount)} of {self._shown(self._total)}")

    def _shown(self, amount: int) -> str:
        return f"{amount / _MEGABYTE:.1f} MB" if self._in_bytes else str(amount)


class _RichTask:
    def __init__(self, bars: RichBars, label: str, *, total: int) -> None:
        self._bars = bars
        self._task = bars.add_task(label, total=total or None)

    def done(self, amount: int) -> None:
        self._bars.update(self._task, completed=amount)
