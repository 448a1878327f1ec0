"""Runs the SQL of the rules' standing: reads tickets and what came of them, writes the count. Never commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from anomaly.records import Sentence
from anomaly.rules.count import Alert, Tally
from anomaly.rules.records import Rule, RuleChange, RuleEvent, RuleRow
from core.pool import Connection
from core.product import Product
from core.sql import Queries

_queries = Queries("anomaly")
_YEAR = timedelta(days=365.25)


def read_rules(connection: Connection, *, product_id: int) -> dict[str, Rule]:
    """Return the rules of a product by failure mode."""
    rows = connection.execute(_queries["rules"], {"product_id": product_id, "product": None})
    return {rule.rule.failure_mode: rule.rule for rule in map(_rule, rows)}


def list_rules(connection: Connection, *, product: str | None) -> list[RuleRow]:
    """Return the rules of one product, or of all."""
    rows = connection.execute(_queries["rules"], {"product_id": None, "product": product})
    return [_rule(row) for row in rows]


def read_champions(connection: Connection, *, product_id: int) -> dict[str, int]:
    """Return the learned model that speaks, by failure mode."""
    rows = connection.execute(_queries["role_ids"], {"product_id": product_id})
    return {mode: model_id for mode, role, model_id in rows if role == "champion"}


def watched_years(
    connection: Connection,
    *,
    product_id: int,
    product: Product,
    rules: Mapping[str, Rule],
    through: datetime,
) -> dict[str, float]:
    """Return the device-years of watching since each rule was counted last, by failure mode.

    Time without forecasts (learning, silence) is no watching.
    """
    values = {
        "product_id": product_id,
        "modes": list(rules),
        "from_at": [rule.counted_through for rule in rules.values()],
        "through": through,
    }
    rows = connection.execute(_queries["forecasts_made"], values)
    return {mode: number * (product.forecast_every / _YEAR) for mode, number in rows}


def read_alerts(
    connection: Connection, *, product_id: int, rules: Mapping[str, Rule], through: datetime
) -> dict[str, list[Alert]]:
    """Return the tickets that forecasts have opened since each rule is counted, by failure mode."""
    values = {
        "product_id": product_id,
        "modes": list(rules),
        "from_at": [rule.counted_from for rule in rules.values()],
        "through": through,
    }
    found: dict[str, list[Alert]] = {}
    for row in connection.execute(_queries["alerts_of_rules"], values):
        alert = Alert(
            opened_at=row[1],
            closed_at=row[2],
            close_reason=row[3],
            is_corrective=row[4],
            verdict=row[5],
            failed_at=row[6],
            replaced_at=row[7],
            watched_through=row[8],
        )
        found.setdefault(row[0], []).append(alert)
    return found


def newest_scored(connection: Connection, *, product_id: int) -> datetime:
    """Return how far any device of a product is scored: every alert so far was opened before it."""
    row = connection.execute(_queries["newest_scored"], {"product_id": product_id}).fetchone()
    assert row is not None
    assert isinstance(row[0], datetime), "only a product that was scored has a demoted rule"
    return row[0]


def keep_rule(connection: Connection, *, product_id: int, rule: Rule, now: datetime) -> None:
    connection.execute(
        _queries["keep_rule"],
        {
            "product_id": product_id,
            "failure_mode": rule.failure_mode,
            "standing": rule.standing,
            "since": rule.since,
            "model_id": rule.model_id,
            "counted_from": rule.counted_from,
            "counted_through": rule.counted_through,
            **_figures(rule),
            "unknown": rule.counted.unknown,
            "waiting": rule.counted.waiting,
            "evidence": rule.evidence,
            "sentences": Jsonb(msgspec.to_builtins(rule.sentences)),
            "now": now,
        },
    )


def add_event(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    rule: Rule,
    change: RuleChange,
    at: datetime,
    reason: str,
    now: datetime,
) -> None:
    values = {
        "product_id": product_id,
        "failure_mode": rule.failure_mode,
        "model_id": rule.model_id,
        "change": change,
        "event_at": at,
        **_figures(rule),
        "reason": reason,
        "now": now,
    }
    connection.execute(_queries["add_rule_event"], values)


def read_events(connection: Connection, *, product_id: int, limit: int) -> list[RuleEvent]:
    values = {"product_id": product_id, "limit": limit}
    return [
        RuleEvent(at=row[0], failure_mode=row[1], model_id=row[2], change=row[3], reason=row[4])
        for row in connection.execute(_queries["rule_events"], values)
    ]


def _figures(rule: Rule) -> dict[str, float]:
    return {
        "right": rule.counted.right,
        "false": rule.counted.false,
        "device_years": rule.device_years,
        "budget": rule.budget,
    }


def _rule(row: Sequence[Any]) -> RuleRow:
    return RuleRow(
        product=row[0],
        rule=Rule(
            failure_mode=row[1],
            standing=row[2],
            since=row[3],
            model_id=row[4],
            counted_from=row[5],
            counted_through=row[6],
            counted=Tally(right=row[7], false=row[8], unknown=row[9], waiting=row[10]),
            device_years=row[11],
            budget=row[12],
            evidence=row[13],
            sentences=msgspec.convert(row[14], tuple[Sentence, ...]),
        ),
    )
