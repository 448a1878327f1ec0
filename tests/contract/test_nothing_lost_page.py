"""The page about the test names every fault, in the words of the command."""

from bench.chaos.plan import TRAITS
from core.settings import PROJECT_ROOT


def test_the_page_lists_every_fault() -> None:
    page = (PROJECT_ROOT / "docs" / "explanation" / "nothing-lost.md").read_text(encoding="utf-8")

    missing = [f for f, trait in TRAITS.items() if f"| `{f.value}` | {trait.about} |" not in page]

    assert missing == []
