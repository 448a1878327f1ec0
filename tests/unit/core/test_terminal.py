"""Tables are whole in a pipe, and what strangers wrote in them is harmless."""

import pytest

from core.terminal import printable, show_table


def test_nothing_is_cut_off_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "d" * 64

    show_table(("device", "detail"), [(long, f"{'x' * 90}-end")])

    shown = capsys.readouterr().out
    assert long in shown
    assert "-end" in shown
    assert "…" not in shown


def test_a_cell_wider_than_the_table_goes_on_in_its_next_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table(("detail",), [("y" * 500,)])

    assert capsys.readouterr().out.count("y") == 500


def test_words_that_look_like_markup_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table(("serial",), [("[red]7[/red] :bomb:",)])

    assert "[red]7[/red] :bomb:" in capsys.readouterr().out


def test_control_characters_are_spelled_out() -> None:
    assert printable("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\nc\\u202e"
