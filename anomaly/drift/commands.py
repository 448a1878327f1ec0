"""`forecare anomaly drift`: what is no longer as it was learned, and which forecasts are off."""

from collections.abc import Sequence

import click

from anomaly import store as products
from anomaly.drift import store
from core.endpoints import database_url
from core.pool import connect
from core.settings import load_settings
from core.terminal import show_table


@click.command()
@click.argument("product", required=False)
@click.option("--all", "with_steady", is_flag=True, help="What has not drifted, too.")
def drift(product: str | None, with_steady: bool) -> None:
    """Show metrics that are no longer what was learned, and forecasts that do not come true as often as they say.

    Once for each day of a product's stream the last two weeks are compared with the learning time of each
    device, at equal operating conditions where the sheet names some; and once a month the forecasts
    of the month before are held against what came. Without PRODUCT, all products.

    \b
    forecare anomaly drift heat_pump
    forecare anomaly drift --all
    """
    with connect(database_url(load_settings()), name="anomaly drift") as connection:
        if product is not None:
            products.product_named(connection, product)
        rows = store.list_drift(connection, product=product, with_steady=with_steady)
        known = (
            rows if with_steady else store.list_drift(connection, product=product, with_steady=True)
        )
    if not rows:
        click.echo(nothing_words([row.drift.state for row in known]))
        return
    show_table(
        ("product", "of", "name", "state", "since", "figure", "what"),
        [
            (
                row.product,
                row.drift.kind,
                row.drift.name,
                row.drift.state,
                f"{row.since:%Y-%m-%d}",
                "" if row.drift.figure is None else f"{row.drift.figure:.2f}",
                "\n".join(sentence.text for sentence in row.drift.sentences),
            )
            for row in rows
        ],
    )


def nothing_words(states: Sequence[str]) -> str:
    """Say that nothing has drifted, and of how much nobody can tell. Pure."""
    if not states:
        return (
            "nothing was compared yet: the first look comes when a product's learning time is over"
        )
    unclear = sum(state == "unclear" for state in states)
    if unclear == len(states):
        return f"nobody can tell yet whether anything has drifted ({unclear} looked at); --all says why"
    if unclear:
        return f"nothing has drifted; of {unclear} of {len(states)} nobody can tell yet, --all says why"
    return f"nothing has drifted ({len(states)} looked at)"
