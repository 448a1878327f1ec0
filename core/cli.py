"""The `forecare` command: finds every package's commands, and turns errors into sentences."""

import os
import sys
from importlib.metadata import entry_points
from typing import Any

import click

from core.errors import ForecareError, RetryableError
from core.failpoint import set_up_failpoints
from core.log import set_up_logging
from core.settings import load_settings, setting_names, settings_markdown, variable_of

_EXIT_RETRYABLE = 75  # EX_TEMPFAIL: the same call may work later


class _Commands(click.Group):
    """Loads a package only when one of its commands is called, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = {entry.name for entry in entry_points(group="forecare.commands")}
        return sorted(found | set(super().list_commands(ctx)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group="forecare.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ForecareError as error:
            click.secho(f"error: {error}", fg="red", err=True)
            if error.hint:
                click.echo(f"  how to mend it: {error.hint}", err=True)
            sys.exit(_EXIT_RETRYABLE if isinstance(error, RetryableError) else 1)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="forecare")
def main() -> None:
    """Forecare: proactive care for connected products.

    \b
    First steps:
      forecare demo                    the whole line with a simulated fleet
      forecare product add SHEET.toml  describe a product of yours
      forecare device add …            let a device of yours in
      forecare serve                   run the platform
    """
    settings = load_settings()
    set_up_logging(settings.log_level)
    set_up_failpoints(settings.failpoint)


@main.command("settings")
@click.option("--markdown", is_flag=True, help="Write the reference page instead of the values.")
def settings_command(*, markdown: bool) -> None:
    """Show every setting, its value and what it does."""
    if markdown:
        click.echo(settings_markdown(), nl=False)
        return
    settings = load_settings()
    for name in setting_names():
        secret = "key" in name or "url" in name
        value = getattr(settings, name)
        source = "environment" if variable_of(name) in os.environ else "default"
        shown = "(set)" if value and secret else repr(value)
        click.echo(f"{variable_of(name):26} {shown}  [{source}]")


if __name__ == "__main__":
    main()
