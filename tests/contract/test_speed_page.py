"""The page in docs/ says what the newest results say."""

from bench.ingest.history import results
from bench.ingest.report import page_part
from bench.scoring.report import page_part as scoring_part
from bench.scoring.report import results as scoring_results
from core.settings import PROJECT_ROOT


def test_the_page_shows_the_newest_results() -> None:
    page = (PROJECT_ROOT / "docs" / "explanation" / "ingest-speed.md").read_text(encoding="utf-8")

    assert page_part(results()) in page


def test_the_page_of_scoring_shows_the_newest_result() -> None:
    page = (PROJECT_ROOT / "docs" / "explanation" / "scoring-speed.md").read_text(encoding="utf-8")

    assert scoring_part(scoring_results()) in page
