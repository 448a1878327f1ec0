"""The worked rows of the page about decisions are what the code decides."""

import re
from datetime import UTC, datetime

import pytest

from core.settings import PROJECT_ROOT
from gateway.sheet import parse_sheet
from maintenance.decide import (
    Forecast,
    Level,
    compare_costs,
    failure_probability,
    horizon_of,
    urgency,
)

_PAGE = PROJECT_ROOT / "docs" / "explanation" / "decisions-to-visits.md"
_SHEET = PROJECT_ROOT / "gateway" / "sheets" / "heat_pump.toml"
_HEAD = "| p 1 d | p 7 d | p 30 d |"
_HOURS = {"d": 24.0, "h": 1.0}
_SHOWN: dict[Level, str] = {"plan": "*plan*", "act": "*act now*"}
FAN = parse_sheet(_SHEET.read_text(encoding="utf-8"), source=_SHEET.name).failure_mode(
    "fan_bearing"
)


def worked_rows() -> list[tuple[str, ...]]:
    """Cells of the table, without its head."""
    lines = _PAGE.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(_HEAD)) + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def told(chances: tuple[str, ...], life: str) -> Forecast:
    p = [float(cell.removesuffix("%")) / 100 for cell in chances]
    *quantiles, unit = re.findall(r"[\d.]+|[dh]$", life)
    q10, q50, q90 = (float(number) * _HOURS[unit] for number in quantiles)
    return Forecast(
        forecast_id=1, failure_mode=FAN.name, made_at=datetime(2026, 1, 1, tzinfo=UTC),
        status="declining", p_fail_1d=p[0], p_fail_7d=p[1], p_fail_30d=p[2],
        life_hours_q10=q10, life_hours_q50=q50, life_hours_q90=q90,
    )  # fmt: skip


def test_the_page_works_out_some_forecasts_that_wait_and_some_that_do_not() -> None:
    outcomes = {row[-1].split(":")[0].split(",")[0] for row in worked_rows()}

    assert outcomes == {"wait", "visit"}


def test_the_prices_that_the_page_names_are_those_of_the_sheet() -> None:
    (kit,) = FAN.kit
    named = (
        f"(failure {FAN.cost_of_failure:g}, visit {FAN.cost_of_visit:g}, kit {kit.price:g}, lead time"
        f" {FAN.lead_time.days} d)"
    )

    assert named in _PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", worked_rows(), ids=lambda row: row[1])
def test_a_worked_row_is_what_the_code_says(row: tuple[str, ...]) -> None:
    *chances, life, soon, waiting, acting, outcome = row

    forecast = told(tuple(chances), life)

    costs = compare_costs(forecast, mode=FAN)
    assert soon == f"{100 * failure_probability(forecast, within=horizon_of(FAN)):.2g} %"
    assert (waiting, acting) == (f"{costs.waiting:.0f}", f"{costs.acting:.0f}")
    said = f"visit: {_SHOWN[urgency(forecast, mode=FAN)]}" if costs.wants_visit else "wait"
    assert outcome.removesuffix(", just") == said
