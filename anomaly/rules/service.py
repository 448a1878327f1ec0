"""What others may call: count a product's false alarms once a day, and put a rule back in force."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from anomaly.daily import claim_day, keep_day, wait_for_look
from anomaly.rules import store
from anomaly.rules.count import Alert, standing_of, tally
from anomaly.rules.records import Rule
from anomaly.rules.words import say_reinstated, say_standing
from anomaly.store import ProductRow
from core.errors import ConflictError, NotFoundError
from core.failpoint import failpoint
from core.pool import Connection
from core.product import FailureMode, Product


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesLook:
    """What one look did."""

    through: datetime
    """Event time, the end of a day."""
    demoted: tuple[str, ...]
    """Failure modes whose rule opens no ticket from now on."""


def look_at_rules(connection: Connection, row: ProductRow, *, now: datetime) -> RulesLook | None:
    """Hold the false alarms of a product's rules against their budgets, once for each day; the caller commits.

    Alerts are judged anew at each look, for what is known of them changes; the watched time only grows,
    by the forecasts since the look before. A rule that was demoted stays so until a person puts it back:
    it opens no tickets, so nothing new is learned about it.
    """
    through = claim_day(connection, row, job="rules", now=now)
    if through is None:
        return None
    product_id, product = row.id, row.product
    rules = _rules(connection, product_id=product_id, product=product)
    years = store.watched_years(
        connection, product_id=product_id, product=product, rules=rules, through=through
    )
    alerts = store.read_alerts(connection, product_id=product_id, rules=rules, through=through)
    demoted = []
    for mode in product.failure_modes:
        before = rules[mode.name]
        after = before
        if before.standing == "full":
            grown = replace(before, device_years=before.device_years + years.get(mode.name, 0.0))
            after = _count(product, mode, grown, alerts=alerts, through=through)
        store.keep_rule(connection, product_id=product_id, rule=after, now=now)
        if after.standing != before.standing:
            demoted.append(mode.name)
            store.add_event(
                connection, product_id=product_id, rule=after, change="demoted", at=through,
                reason=" ".join(sentence.text for sentence in after.sentences), now=now,
            )  # fmt: skip
    keep_day(connection, product_id=product_id, job="rules", through=through, now=now)
    failpoint("anomaly.before_rules_commit")
    return RulesLook(through=through, demoted=tuple(demoted))


def reinstate(
    connection: Connection, row: ProductRow, *, failure_mode: str, reason: str, now: datetime
) -> Rule:
    """Let a demoted rule open tickets again and count its false alarms anew; the caller commits.

    Raises
    ------
    NotFoundError
        If the product has no such failure mode.
    ConflictError
        If the rule was never demoted, or is back already.
    """
    product_id = row.id
    wait_for_look(connection, product_id=product_id, job="rules", now=now)
    rule = store.read_rules(connection, product_id=product_id).get(failure_mode)
    names = [mode.name for mode in row.product.failure_modes]
    if failure_mode not in names:
        raise NotFoundError(
            f"{row.product.name} has no failure mode {failure_mode!r}",
            hint=f"its failure modes: {', '.join(names) or 'none'}",
        )
    if rule is None or rule.standing == "full":
        raise ConflictError(
            f"the rule for {failure_mode} opens tickets as it is",
            hint="`forecare anomaly rules` shows how each rule stands",
        )
    at = store.newest_scored(connection, product_id=product_id)
    said = say_reinstated(reason)
    back = Rule(
        failure_mode=failure_mode, since=at, model_id=rule.model_id, counted_from=at,
        counted_through=at, budget=rule.budget, sentences=(said,),
    )  # fmt: skip
    store.keep_rule(connection, product_id=product_id, rule=back, now=now)
    store.add_event(
        connection, product_id=product_id, rule=rule, change="reinstated", at=at, reason=reason,
        now=now,
    )  # fmt: skip
    return back


def _rules(connection: Connection, *, product_id: int, product: Product) -> dict[str, Rule]:
    """Return the rule of each failure mode; one with a new speaker is another rule, and counted anew."""
    known = store.read_rules(connection, product_id=product_id)
    speaking = store.read_champions(connection, product_id=product_id)
    found = {}
    for mode in product.failure_modes:
        speaker = speaking.get(mode.name)
        rule = known.get(mode.name, Rule(failure_mode=mode.name, model_id=speaker))
        if rule.standing == "full" and rule.model_id != speaker:
            at = rule.counted_through
            rule = Rule(
                failure_mode=mode.name, since=rule.since, model_id=speaker, counted_from=at,
                counted_through=at,
            )  # fmt: skip
        found[mode.name] = rule
    return found


def _count(
    product: Product,
    mode: FailureMode,
    rule: Rule,
    *,
    alerts: Mapping[str, list[Alert]],
    through: datetime,
) -> Rule:
    """Count what a rule's alerts were worth, and decide how it stands."""
    budget = product.false_alarms_allowed(mode)
    counted = tally(alerts.get(mode.name, []), can_heal=bool(mode.remedy), through=through)
    standing, evidence = standing_of(counted, device_years=rule.device_years, budget=budget)
    is_demoted = standing != "full"
    return replace(
        rule,
        standing=standing,
        since=through if is_demoted else rule.since,
        counted_through=through,
        counted=counted,
        budget=budget,
        evidence=evidence,
        sentences=say_standing(
            mode.title,
            counted,
            device_years=rule.device_years,
            budget=budget,
            is_demoted=is_demoted,
        ),
    )
