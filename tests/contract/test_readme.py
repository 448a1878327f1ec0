"""The first page gives exactly two commands, and they exist."""

import re
import subprocess

import pytest

from core.settings import PROJECT_ROOT

_README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def test_the_readme_gives_two_commands() -> None:
    (block,) = [b for b in re.findall(r"```\n(.*?)```", _README, re.DOTALL) if "make" in b]

    assert block.splitlines() == ["make demo", "make test"]


@pytest.mark.parametrize("target", ["demo", "test", "setup", "check", "help"])
def test_make_knows_the_command(target: str) -> None:
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_links_of_all_pages_lead_somewhere() -> None:
    pages = [*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(PROJECT_ROOT)}: {link}"
        for page in pages
        for link in _LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]

    assert broken == []
