"""The page in docs/ says what the newest results say."""

from bench.ingest.history import results
from bench.ingest.report import page_part
from core.settings import PROJECT_ROOT


def test_the_page_shows_the_newest_results() -> None:
    page = (PROJECT_ROOT / "docs" / "explanation" / "ingest-speed.md").read_text(encoding="utf-8")

    assert page_part(results()) in page
