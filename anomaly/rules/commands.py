"""`forecare anomaly rules` and `reinstate`: which rules open tickets, and how often they were wrong."""

import click

from anomaly import store as products
from anomaly.fleet.words import number
from anomaly.rules import service, store
from core.clock import wall_now
from core.endpoints import database_url
from core.pool import connect
from core.settings import load_settings
from core.terminal import show_table

STANDING = {"full": "opens tickets", "inspect_at_next_visit": "inspect at the next visit"}


@click.command()
@click.argument("product", required=False)
def rules(product: str | None) -> None:
    """Show how often the warnings of each failure mode were wrong, against the budget of its sheet.

    Counted are tickets that forecasts opened. One is wrong when a technician found no fault or another
    one, or when it ended and no failure came within 30 days. Once so many were wrong that the budget is
    overdrawn beyond chance, the rule opens no tickets any more: whoever comes to the device next looks at
    the part. Without PRODUCT, all products.

    \b
    forecare anomaly rules heat_pump
    """
    with connect(database_url(load_settings()), name="anomaly rules") as connection:
        if product is not None:
            products.product_named(connection, product)
        rows = store.list_rules(connection, product=product)
    if not rows:
        click.echo("no rule has been counted yet: that is done once for each day of data")
        return
    show_table(
        ("product", "failure mode", "standing", "right", "wrong", "open", "device-years", "allowed", "what"),
        [
            (
                row.product,
                row.rule.failure_mode,
                STANDING[row.rule.standing],
                str(row.rule.counted.right),
                str(row.rule.counted.false),
                str(row.rule.counted.waiting),
                number(row.rule.device_years),
                number(row.rule.budget * row.rule.device_years),
                "\n".join(sentence.text for sentence in row.rule.sentences),
            )
            for row in rows
        ],
    )  # fmt: skip


@click.command()
@click.argument("product")
@click.argument("failure_mode")
@click.option("--reason", required=True, help="Why it may open tickets again; kept with it.")
def reinstate(product: str, failure_mode: str, reason: str) -> None:
    """Let the rule for FAILURE_MODE of PRODUCT open tickets again.

    Its false alarms are counted anew from now on.

    \b
    forecare anomaly reinstate heat_pump fan_bearing --reason "limit raised in the sheet"
    """
    with connect(database_url(load_settings()), name="anomaly reinstate") as connection:
        row = products.product_named(connection, product)
        rule = service.reinstate(
            connection, row, failure_mode=failure_mode, reason=reason, now=wall_now()
        )
    click.echo(f"{rule.failure_mode} opens tickets again from the next forecast on")
