"""The page in docs/ says what the newest evaluations say, and every benchmark can be run in the same way."""

import importlib
import pkgutil

import click
import pytest
from click.testing import CliRunner

from bench.evaluate import benchmarks
from bench.evaluate.commands import evaluate
from bench.evaluate.page import kept_results, meanings_part, page_part
from core.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "docs" / "explanation" / "foresight"
NAMES = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
MAKES_ITS_DATA = {"fleet"}
"""Benchmarks that simulate what they judge; all others read a recording."""


def test_the_page_shows_the_newest_results_and_what_they_mean() -> None:
    page = FOLDER.with_suffix(".md").read_text(encoding="utf-8")
    pages = {file.stem for file in FOLDER.glob("*.md")}

    assert meanings_part() in page
    assert page_part(kept_results(), pages=pages) in page


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_command_with_the_options_that_all_have(name: str) -> None:
    command = importlib.import_module(f"{benchmarks.__name__}.{name}").command

    assert isinstance(command, click.Command)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--seeds", "--results"} <= options
    assert ("--data" in options) is (name not in MAKES_ITS_DATA)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(evaluate, [name.replace("_", "-"), "--help"])

    assert shown.exit_code == 0
    assert len(shown.output.split()) > 40


def test_the_help_lists_every_benchmark() -> None:
    shown = CliRunner().invoke(evaluate, ["--help"])

    assert shown.exit_code == 0
    for name in NAMES:
        assert name.replace("_", "-") in shown.output
