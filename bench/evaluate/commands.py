"""`forecare evaluate`: how well the forecasts hold on data that nobody here made."""

import importlib
import pkgutil

import click

from bench.evaluate import benchmarks


class _Benchmarks(click.Group):
    """Every module of bench.evaluate.benchmarks brings one `command`; it is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's form
        names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
        return sorted(name.replace("_", "-") for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{benchmarks.__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command


@click.command(cls=_Benchmarks)
def evaluate() -> None:
    """Judge detectors and forecasts on recordings, through the code that runs in production.

    \b
    A reader turns a recording into the histories of a product's devices; the same features, detectors,
    hazard, calibration and policy that serve live devices judge it, and a scorer that was checked by
    hand counts. Thresholds are frozen before the test part is read. Every run prints its seeds, its
    event counts and, beside each figure, what simple rules reach (controls), and keeps the result.

    \b
    A folder of the same layout with other files (another subset, other machines, other months) is read in
    the same way. Files may be packed with gzip. What each figure means, and what is published elsewhere, is
    in docs/explanation/foresight.md.

    \b
      forecare evaluate cmapss --data recordings/cmapss --subset FD001
      forecare evaluate azure-pdm --data recordings/azure_pdm --split-date 2015-06-01 --json
      forecare evaluate NAME --help
    """
