"""A long evaluation shows that it runs, to people only."""

from io import StringIO

from rich.console import Console

from bench.evaluate.report import running


def shown(*, is_terminal: bool) -> str:
    written = StringIO()
    with running("cmapss", Console(file=written, force_terminal=is_terminal, width=80)) as stop:
        stop()
        before = written.getvalue()
        written.write("the result")
    return before


def test_a_terminal_says_what_is_evaluated_until_the_result_is_there() -> None:
    assert "evaluating cmapss" in shown(is_terminal=True)


def test_a_file_gets_the_result_alone() -> None:
    assert not shown(is_terminal=False)
