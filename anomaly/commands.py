"""`forecare anomaly`: run the scorer, see how far it is, learn a product anew."""

import signal
import threading

import click

from anomaly import service, store
from anomaly.cluster import cluster_of
from anomaly.drift.commands import drift
from anomaly.fleet import store as fleet_store
from anomaly.fleet import words
from anomaly.rules.commands import reinstate, rules
from anomaly.training.trainer import Trainer
from anomaly.worker import Worker
from core.clock import wall_now
from core.endpoints import database_url
from core.pool import connect, make_pool
from core.settings import load_settings
from core.terminal import show_table

_ISSUES_MAX = 500


@click.group()
def anomaly() -> None:
    """From samples to forecasts: what is normal, what is not, and when a part will fail.

    \b
    The scorer learns what is normal for each product from its devices' first days, and for each
    device from its own. From then on it turns samples into a health index per failure mode,
    detections with their evidence, and forecasts that `forecare maintenance` decides on.
    """


@anomaly.command()
def run() -> None:
    """Score what is new until stopped (Ctrl-C, SIGTERM).

    It may be killed at any moment and started again: what it writes and how far it is are kept in
    one transaction. Several may run at once.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    trainer = Trainer(is_on=settings.trains_by_itself)
    cluster = cluster_of(settings.dask, clock=wall_now)
    pool = make_pool(database_url(settings), name="anomaly", size_max=2)
    try:
        Worker(pool=pool, stop=stop, trainer=trainer, cluster=cluster).run()
    finally:
        pool.close()


@anomaly.command()
def status() -> None:
    """Show per product how many devices are scored, how far behind, and what was detected."""
    with connect(database_url(load_settings()), name="anomaly status") as connection:
        rows = store.read_status(connection)
    if not rows:
        click.echo("no products yet: `forecare product add SHEET.toml`")
    for row in rows:
        learned = f"baseline {row.baseline}" if row.baseline else "no shared baseline"
        click.echo(
            f"{row.name}: {row.devices} devices, {row.scored} scored ({row.learning} learning),"
            f" {learned}, behind by {row.behind or 0}, {row.detections} detections"
        )


@anomaly.command()
@click.argument("product", required=False)
@click.option("--all", "with_cleared", is_flag=True, help="Those that were cleared, too.")
def issues(product: str | None, with_cleared: bool) -> None:
    """Show groups of devices that fail more often than others of the same age.

    Lots, firmware versions, cities and products are looked at once for each day of a product's stream.
    `flagged`: beyond chance, although so many groups are looked at every day. `watched`: more
    failures or detections than others, though chance is not ruled out. Without PRODUCT, all products.

    \b
    forecare anomaly issues heat_pump
    forecare anomaly issues --all
    """
    with connect(database_url(load_settings()), name="anomaly issues") as connection:
        if product is not None:
            store.product_named(connection, product)
        rows = fleet_store.read_issues(
            connection, product=product, with_cleared=with_cleared, limit=_ISSUES_MAX
        )
    if not rows:
        click.echo("no group of devices fails more often than others of the same age")
        return
    show_table(
        ("product", "state", "since", "times as often", "95 % range", "at stake", "what"),
        [
            (
                row.product,
                row.state,
                f"{row.state_since:%Y-%m-%d}",
                words.number(row.ratio),
                f"{words.number(row.ratio_low)} to {words.number(row.ratio_high)}",
                str(row.well),
                "\n".join(sentence.text for sentence in row.sentences),
            )
            for row in rows
        ],
    )


@anomaly.command()
@click.argument("product")
def fit(product: str) -> None:
    """Learn PRODUCT's baseline now, as a new revision, from what its devices have sent so far.

    Devices that are scored already keep the baseline they began with; devices that come to the end
    of their learning time later use the new one.
    """
    with connect(database_url(load_settings()), name="anomaly fit") as connection:
        row = store.product_named(connection, product)
        baseline = service.learn_product(connection, row, now=wall_now(), is_forced=True)
    if baseline is None:
        click.echo("its devices follow their own recent past: there is nothing to share")
        return
    click.echo(f"learned from {baseline.devices} devices, {baseline.windows} windows")
    for metric in baseline.metrics:
        click.echo(
            f"  {metric.metric}: {metric.explained:.0%} explained, spread {metric.sigma:.3g},"
            f" smoothed {metric.sigma_smooth:.3g}"
        )


for command in (rules, reinstate, drift):
    anomaly.add_command(command)
