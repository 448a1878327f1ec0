"""What a person sees in the terminal while the demo runs: steps, a progress bar, where to look."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_DAYS = 1.0


class Show:
    """Writes steps as lines, and the fleet's progress as a bar on a terminal or as lines in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said_day = -_PLAIN_EVERY_DAYS
        self._is_over = False

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def stage_event(self, name: str, event: str) -> None:
        if event != "started":
            self.say(f"  {name} {event}")

    def welcome(self, base_url: str, links: Sequence[tuple[str, str]]) -> None:
        """Print where to look and one link per kind of person that signs in."""
        self._console.print(f"\n[bold green]Forecare runs on {base_url}[/] (Ctrl-C stops it)\n")
        for person, link in links:
            self._console.print(f"  enter as {person:13} {link}", highlight=False, soft_wrap=True)
        self._console.print()

    def progress(self, news: Sequence[dict[str, Any]]) -> None:
        """Show how far the simulated time is."""
        for line in news:
            if line.get("event") == "progress" and not self._is_over:
                self._advance(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _advance(self, line: dict[str, Any]) -> None:
        day, of = float(line["day"]), float(line["of"])
        text = f"day {day:5.1f} of {of:.0f}, {line.get('stored', 0):,} samples stored"
        if self._console.is_terminal:
            self._draw(day, of, text)
        elif day - self._said_day >= _PLAIN_EVERY_DAYS or day >= of:
            self._said_day = day
            self.say(f"  simulated {text}")
        if day >= of:
            self._is_over = True
            self.close()

    def _draw(self, day: float, of: float, text: str) -> None:
        if self._bar is None:
            columns = (
                TextColumn("simulating"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, TextColumn("{task.description}"), console=self._console)
            self._task = self._bar.add_task(text, total=of)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=day, description=text)
