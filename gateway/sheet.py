"""Reads a product sheet (docs/reference/product-sheet.md) into the records of core.product. Pure but
for the two functions that open a shipped file.

Every error names file, line and remedy, and all errors of a sheet are told at once: whoever writes
one should not have to guess, nor to run the command ten times.
"""

import re
import tomllib
from collections.abc import Sequence
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any, cast

from core.errors import InvalidError, NotFoundError
from core.product import (
    Direction,
    Evidence,
    FailureMode,
    KitPart,
    Metric,
    MetricKind,
    Product,
    Running,
)
from gateway.sheet_controls import commands_of, settings_of
from gateway.sheet_limits import limits_of
from gateway.sheet_lines import find_lines
from gateway.sheet_retention import retention_of
from gateway.sheet_table import (
    Faults,
    Table,
    check_unique,
    did_you_mean,
    read_amount,
    read_any_text,
    read_count,
    read_currency,
    read_direction,
    read_duration,
    read_flag,
    read_integers,
    read_kind,
    read_name,
    read_number,
    read_positive,
    read_range,
    read_text,
    read_texts,
)

METRICS_MAX = 64
RESERVED_METRICS = frozenset(
    {"device_id", "measured_at", "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"}
)
"""The key columns of every telemetry table, and what PostgreSQL itself puts into each table."""
REAL_MAX = 3.4e38
_HINT = "docs/reference/product-sheet.md shows every key with its meaning"


def parse_sheet(text: str, *, source: str) -> Product:
    """Read a product sheet.

    Parameters
    ----------
    text : str
        TOML.
    source : str
        Name of the file, for messages.

    Raises
    ------
    InvalidError
        If anything is wrong; the message lists every fault as `source:line: what`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        where = line[1] if line else len(text.splitlines())
        raise InvalidError(f"{source}:{where}: {error}", hint=_HINT) from error
    faults = Faults(source=source, lines=find_lines(text))
    product = _product(Table(data, path=(), faults=faults))
    if faults.found or product is None:
        raise InvalidError("\n".join(faults.sorted()), hint=_HINT)
    return product


def sheet_path(name: str) -> Path:
    """Return the file of a sheet that ships with Forecare.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    folder = Path(str(resources.files("gateway"))) / "sheets"
    shipped = sorted(file.stem for file in folder.glob("*.toml"))
    if name not in shipped:
        raise NotFoundError(
            f"no sheet named {name!r} ships with Forecare", hint=f"there are: {', '.join(shipped)}"
        )
    return folder / f"{name}.toml"


def shipped_sheet(name: str) -> Product:
    file = sheet_path(name)
    return parse_sheet(file.read_text(encoding="utf-8"), source=file.name)


def _product(sheet: Table) -> Product | None:
    head = sheet.table("product")
    metric_tables, mode_tables = sheet.tables("metric"), sheet.tables("failure_mode")
    settings, commands = settings_of(sheet), commands_of(sheet)
    history_max = head.peek("history_max", read_duration) if head else None
    retention = retention_of(sheet, history_max=history_max)
    limits = limits_of(sheet)
    sheet.close()
    if head is None:
        sheet.fault((), "[product] is missing")
        return None
    metrics = [(table, _metric(table)) for table in metric_tables]
    names = [table.given_name for table in metric_tables]
    check_unique(metric_tables, kind="metric")
    if not metric_tables:
        sheet.fault((), "the sheet has no [[metric]]")
    if len(metric_tables) > METRICS_MAX:
        metric_tables[METRICS_MAX].fault(
            (), f"{len(metric_tables)} metrics, more than {METRICS_MAX}: split the product"
        )
    for table, metric in metrics:
        if metric is not None:
            _check_depends_on(table, metric, names)
    modes = [_failure_mode(table, names) for table in mode_tables]
    check_unique(mode_tables, kind="failure mode")
    fields = _head(head, names)
    product = {
        **fields,
        "metrics": tuple(metric for _, metric in metrics if metric is not None),
        "failure_modes": tuple(mode for mode in modes if mode is not None),
        "settings": settings,
        "commands": commands,
        "retention": retention,
        "limits": limits,
    }
    return None if sheet.faults.found else Product(**product)


def _head(head: Table, metrics: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": head.take("name", read_name),
        "title": head.take("title", read_text),
        "manufacturer": head.take("manufacturer", read_text),
        "currency": head.take("currency", read_currency, default="EUR"),
    }
    for key in ("interval", "window", "learning", "forecast_every", "late_after", "history_max"):
        values[key] = head.take(key, read_duration)
    for key in ("future_max", "silent_after", "warranty"):
        given = head.optional(key, read_duration)
        if given is not None:
            values[key] = given
    budget = head.optional("false_alarms_per_year", read_positive)
    if budget is not None:
        values["false_alarms_per_year"] = budget
    values["fault_metric"] = head.optional("fault_metric", read_text)
    if values["fault_metric"] is not None:
        _check_known(head, "fault_metric", values["fault_metric"], metrics)
    values["running"] = _running(head, metrics)
    head.close()
    for small, large in (("interval", "window"), ("window", "learning"), ("window", "history_max")):
        if (
            values[small] is not None
            and values[large] is not None
            and values[small] > values[large]
        ):
            head.fault((large,), f'"{large}" is shorter than "{small}"')
    return values


def _running(head: Table, metrics: Sequence[str]) -> Running | None:
    table = head.table("running")
    if table is None:
        return None
    metric, above = table.take("metric", read_text), table.take("above", read_number)
    table.close()
    if metric is None or above is None:
        return None
    _check_known(table, "metric", metric, metrics)
    return Running(metric=metric, above=above)


def _metric(table: Table) -> Metric | None:
    name = table.take("name", read_name)
    title, unit = table.take("title", read_text), table.take("unit", read_any_text)
    span = table.take("range", read_range)
    precise = table.take("precise", read_flag, default=False)
    depends_on = table.optional("depends_on", read_texts)
    show = table.take("show", read_flag, default=False)
    kind = table.take("kind", read_kind, default="measure")
    table.close()
    if name in RESERVED_METRICS:
        table.fault(
            ("name",), f'"{name}" is a column that every telemetry table has — choose another name'
        )
    if span is not None and not precise and max(abs(span[0]), abs(span[1])) > REAL_MAX:
        table.fault(("range",), '"range" is beyond ±3.4e38 — write precise = true')
    if name is None or title is None or unit is None or span is None:
        return None
    return Metric(
        name=name,
        title=title,
        unit=unit,
        low=span[0],
        high=span[1],
        precise=bool(precise),
        depends_on=depends_on or (),
        show=bool(show),
        kind=cast(MetricKind, kind or "measure"),
    )


def _failure_mode(table: Table, metrics: Sequence[str]) -> FailureMode | None:
    evidence = [_evidence(row, metrics) for row in table.tables("evidence")]
    kit = [_kit_part(row) for row in table.tables("kit")]
    values: dict[str, Any] = {
        "name": table.take("name", read_name),
        "title": table.take("title", read_text),
        "component": table.take("component", read_text),
        "agree": table.take("agree", read_count, default=1),
        "fault_codes": table.take("fault_codes", read_integers, default=()),
        "cost_of_failure": table.take("cost_of_failure", read_amount),
        "cost_of_visit": table.take("cost_of_visit", read_amount),
        "lead_time": table.take("lead_time", read_duration),
        "duration": table.take("duration", read_duration, default=timedelta(hours=1)),
        "skills": table.take("skills", read_texts, default=()),
        "checklist": table.take("checklist", read_texts, default=()),
        "remedy": table.take("remedy", read_texts, default=()),
    }
    for key in ("plain", "until_then", "stop_if"):
        values[key] = table.take(key, read_any_text, default="")
    values["false_alarms_per_year"] = table.optional("false_alarms_per_year", read_positive)
    table.close()
    if evidence and values["agree"] and values["agree"] > len(evidence):
        table.fault(
            ("agree",),
            f'"agree" is {values["agree"]}, but there are {len(evidence)} evidence metrics',
        )
    if table.faults.found:
        return None
    return FailureMode(
        **values,
        evidence=tuple(row for row in evidence if row is not None),
        kit=tuple(part for part in kit if part is not None),
    )


def _evidence(table: Table, metrics: Sequence[str]) -> Evidence | None:
    metric = table.take("metric", read_text)
    direction = table.take("direction", read_direction, default="both")
    failed_at = table.optional("failed_at", read_positive)
    table.close()
    if metric is None:
        return None
    _check_known(table, "metric", metric, metrics)
    return Evidence(
        metric=metric, direction=cast(Direction, direction or "both"), failed_at=failed_at
    )


def _kit_part(table: Table) -> KitPart | None:
    part, title = table.take("part", read_text), table.take("title", read_text)
    quantity = table.take("quantity", read_count, default=1)
    price = table.take("price", read_amount, default=0.0)
    table.close()
    if part is None or title is None:
        return None
    return KitPart(part=part, title=title, quantity=quantity or 1, price=price or 0.0)


def _check_known(table: Table, key: str, metric: str, metrics: Sequence[str]) -> None:
    if metric not in metrics:
        table.fault((key,), f'there is no metric "{metric}" — {did_you_mean(metric, set(metrics))}')


def _check_depends_on(table: Table, metric: Metric, metrics: Sequence[str]) -> None:
    for other in metric.depends_on:
        if other == metric.name:
            table.fault(("depends_on",), f'metric "{metric.name}" depends on itself — remove it')
        else:
            _check_known(table, "depends_on", other, metrics)
