"""Writes the reference pages that are made from the code, or checks that they are up to date.

python tools/make_docs.py            # write
python tools/make_docs.py --check    # fail when a page differs from the code
"""

import re
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.evaluate import page as foresight
from bench.ingest.history import results
from bench.ingest.report import page_part
from bench.scoring.report import page_part as scoring_part
from bench.scoring.report import results as scoring_results
from bench.scoring.report import trainings
from core.cli import main as forecare
from core.migrations import steps
from core.settings import settings_markdown

_DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"
_SPEED = _DOCS.parent / "explanation" / "ingest-speed.md"
_SCORING = _DOCS.parent / "explanation" / "scoring-speed.md"
_FIGURES = "<!-- Figures, from bench/results by tools/make_docs.py. -->"
_FIGURES_END = "<!-- End of the figures. -->"
_FORESIGHT = _DOCS.parent / "explanation" / "foresight.md"
_MEANINGS = "<!-- Meanings, from bench/evaluate/page.py by tools/make_docs.py. -->"
_MEANINGS_END = "<!-- End of the meanings. -->"
_MADE = "<!-- Made from the code by tools/make_docs.py; `make fix` writes it anew. -->\n\n"
_TABLE = re.compile(
    r"^((?:--[^\n]*\n)*)create table (\w+)\.(\w+) \(\n(.*?)\n\);", re.MULTILINE | re.DOTALL
)

_DROPPED = re.compile(r"^drop table (\w+)\.(\w+);", re.MULTILINE)


def settings_page() -> str:
    intro = (
        "# Settings\n\nAll settings are environment variables. An unknown `FORECARE_` variable is an error,\n"
        "so a typing mistake is not silent. `forecare settings` shows the values in force.\n\n"
    )
    return intro + _MADE + settings_markdown()


def commands_page() -> str:
    lines = ["# Command line", "", _MADE.strip(), ""]
    _describe(forecare, "forecare", lines)
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    lines = [
        "# Tables and their writers",
        "",
        _MADE.strip(),
        "",
        "The schema's name is the package that writes it; every package may read. Rows of",
        "`telemetry.<product>` are written by `ingest`, the table itself is made by `gateway`;",
        "`telemetry_hour.<product>` and `telemetry_day.<product>` are made and written by `ingest`.",
        "",
    ]
    dropped = {name for step in steps() for name in _DROPPED.findall(step.sql)}
    for step in steps():
        for comment, schema, table, body in _TABLE.findall(step.sql):
            if (schema, table) in dropped:
                continue
            if schema not in ("gateway", "ingest", "anomaly", "maintenance", "api"):
                continue
            lines += [f"## {schema}.{table}", ""]
            reason = " ".join(part.removeprefix("--").strip() for part in comment.splitlines())
            lines += [reason, ""] if reason else []
            lines += ["```sql", body, "```", ""]
    return "\n".join(lines)


def _describe(command: click.Command, path: str, lines: list[str]) -> None:
    context = click.Context(command, info_name=path)
    lines += [f"## {path}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            _describe(child, f"{path} {name}", lines)


def speed_page() -> str:
    """Return the hand-written page with the tables of the newest results in it."""
    return _with_figures(_SPEED, page_part(results()))


def scoring_page() -> str:
    return _with_figures(_SCORING, f"{scoring_part(scoring_results(), trainings())}\n")


def foresight_page() -> str:
    """Return the hand-written page with meanings and newest evaluations in it."""
    text = _FORESIGHT.read_text(encoding="utf-8")
    text = _filled(text, _MEANINGS, _MEANINGS_END, f"{foresight.meanings_part()}\n")
    pages = {file.stem for file in (_FORESIGHT.parent / "foresight").glob("*.md")}
    part = foresight.page_part(foresight.kept_results(), pages=pages)
    return _filled(text, _FIGURES, _FIGURES_END, part)


def _with_figures(page: Path, figures: str) -> str:
    return _filled(page.read_text(encoding="utf-8"), _FIGURES, _FIGURES_END, figures)


def _filled(text: str, begin: str, end: str, part: str) -> str:
    """Put a part between two marks."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{part}{end}{after}"


PAGES = {
    _DOCS / "settings.md": settings_page,
    _DOCS / "commands.md": commands_page,
    _DOCS / "tables.md": tables_page,
    _SPEED: speed_page,
    _SCORING: scoring_page,
    _FORESIGHT: foresight_page,
}


def main(arguments: list[str]) -> int:
    stale = []
    for file, make in PAGES.items():
        text = make()
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(file.name)
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"not up to date: {', '.join(stale)}; `make fix` writes them anew")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
