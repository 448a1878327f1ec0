"""What an evaluation found, shown to people and kept for machines."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec
import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.ingest import history
from bench.ingest.history import RESULTS
from bench.ingest.machine import revision
from core.clock import wall_now
from core.errors import InvalidError
from core.terminal import show_table

_STOP = "bench.evaluate.stop"
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark."""

    name: str
    figures: Mapping[str, Any]
    """Keys as in docs/explanation/foresight.md; None where one does not apply."""
    controls: Mapping[str, Mapping[str, Any]] = {}
    """The same figures, reached by a rule that looks at no sensor."""
    seeds: Sequence[int]
    seconds: float
    options: Mapping[str, Any] = {}
    """What the command was told, without folders."""
    details: Mapping[str, Any] = {}
    """Further tables: per seed, per bin, per event."""
    notes: Sequence[str] = ()
    """Sentences that belong to the figures: what was left out, what a figure means."""


def common_options(function: _Function) -> _Function:
    """Give a benchmark the options that all have: --data, --json, --seeds, --results."""
    data = click.option(
        "--data",
        required=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of the recording.",
    )
    return data(result_options(_shown_running(function)))


@contextmanager
def running(name: str, console: Console) -> Iterator[Callable[[], None]]:
    """Show on a terminal that an evaluation runs and for how long; yields what ends it before the result is shown."""
    columns = (SpinnerColumn(), TextColumn("evaluating {task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        bar.add_task(name, total=None)
        yield bar.stop


def _shown_running(function: _Function) -> _Function:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        with running(context.info_name or "", Console(stderr=True)) as stop:
            context.meta[_STOP] = stop
            return function(*args, **kwargs)

    return cast("_Function", run)


def result_options(function: _Function) -> _Function:
    """Give a benchmark that needs no recording --json, --seeds and --results."""
    options = (
        click.option("--seeds", default="0,1,2", show_default=True, callback=_seeds,
                     help="Seeds of everything that is drawn, with commas between."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line."),
        click.option("--results", "folder", type=click.Path(path_type=Path), default=RESULTS,
                     help="Folder in which the result is kept.  [default: bench/results]"),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _seeds(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:  # noqa: ARG001
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise InvalidError(
            f"--seeds {value!r} are no whole numbers", hint="for instance --seeds 0,1,2"
        ) from None


def deliver(report: Report, *, as_json: bool, folder: Path) -> None:
    """Keep a report and print it."""
    keep(report, folder)
    context = click.get_current_context(silent=True)
    if context is not None and _STOP in context.meta:
        context.meta[_STOP]()
    if as_json:
        click.echo(orjson.dumps(flat(report), option=orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        show(report)


def flat(report: Report) -> dict[str, Any]:
    """Return the one object that `--json` prints."""
    return {
        "benchmark": report.name,
        **report.figures,
        "controls": report.controls,
        "seeds": list(report.seeds),
        "seconds": round(report.seconds, 1),
        "options": report.options,
        "details": report.details,
        "notes": list(report.notes),
    }


def keep(report: Report, folder: Path) -> Path:
    """Write a report; a crash leaves the file whole or not at all."""
    words = [str(value) for value in report.options.values() if isinstance(value, str)]
    kept = {
        "at": wall_now().isoformat(timespec="seconds"),
        "revision": revision(),
        **flat(report),
    }
    return history.keep(kept, folder, name="-".join(["evaluate", report.name, *words]))


def show(report: Report) -> None:
    """Print the figures, the controls beside them."""
    columns = ("figure", "forecare", *report.controls)
    rows = [
        (key, _text(value), *(_text(control.get(key)) for control in report.controls.values()))
        for key, value in report.figures.items()
    ]
    show_table(columns, rows)
    seeds = ", ".join(str(seed) for seed in report.seeds)
    click.echo(f"seeds {seeds}; {report.seconds:.0f} s")
    for note in report.notes:
        click.echo(note)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:,.4g}"
    return str(value)
