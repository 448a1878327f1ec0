"""`forecare model`: learn from failures, see what was learned, put an old model back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import click
from rich.console import Console
from rich.progress import Progress

from anomaly import store as products
from anomaly.cluster import cluster_of
from anomaly.learn.fits import lost
from anomaly.learn.history import Catalog
from anomaly.rules import store as rules_store
from anomaly.rules.records import RuleEvent
from anomaly.training import job, job_store, service, store
from anomaly.training.card import card_lines, contest_lines
from anomaly.training.due import Training
from anomaly.training.records import ModelEvent
from core.clock import wall_now
from core.endpoints import database_url
from core.errors import NotFoundError
from core.pool import Connection, connect
from core.settings import load_settings
from core.terminal import show_table

_EVENTS_SHOWN = 40
_TRAININGS_SHOWN = 12
_BECAUSE = {
    "asked": "somebody asked for it",
    "first": "there were failures enough to begin",
    "labels": "more failures were known",
    "month": "a month had passed",
}


@click.group()
def model() -> None:
    """What was learned from failures, and which of it speaks.

    \b
    The first layer needs no failure: it knows what is normal. Once devices have failed, `train` learns
    per failure mode what came before. One device in four is kept out of all training; a new model
    speaks only if it forecast better than what speaks now on just those devices, in a stretch of time
    that nobody has learned from. `restore` puts any earlier model back.
    """


@model.command()
@click.argument("product")
@click.option("--seeds", default="0,1,2", show_default=True, help="Seeds, with commas between.")
@click.option(
    "--if-due", is_flag=True, help="Only if enough has come to light since the last time."
)
def train(product: str, seeds: str, *, if_due: bool) -> None:
    """Learn PRODUCT's failure modes anew, and let what is better speak from now on.

    It may be killed at any moment: until all is kept, nothing is. The scorer (`forecare anomaly run`)
    begins it by itself, with --if-due, once ten failures of some mode are known, then whenever a tenth
    more (at least five) are, and a month of the devices' time after the last; unless FORECARE_TRAINING=off.
    """
    numbers, settings = _seeds(seeds), load_settings()
    url = database_url(settings)
    with connect(url, name="model train") as connection:
        row = _product(connection, product)
    cluster = cluster_of(settings.dask, clock=wall_now)
    with _progress(f"training {product}") as on_step:
        done = job.train(
            url, row, clock=wall_now, only_if_due=if_due, seeds=numbers, on_step=on_step,
            spread=nullcontext if cluster is None else cluster.learning,
        )  # fmt: skip
    if done is None:
        click.echo(f"{product} need not be trained: too little is new")
        return
    click.echo(f"seeds {', '.join(map(str, numbers))}")
    _show_outcome(done)


def _show_outcome(done: Sequence[service.Trained]) -> None:
    show_table(
        ("failure mode", "model", "failures judged", "Brier score now", "of the new", "outcome"),
        [
            (
                item.contest.mode,
                str(item.model_id),
                str(item.contest.events),
                _number(item.contest.champion.brier),
                _number(item.contest.challenger.brier),
                f"{'speaks' if item.is_promoted else 'does not speak'}: {item.contest.reason}",
            )
            for item in done
        ],
    )


@contextmanager
def _progress(title: str) -> Iterator[job.OnStep]:
    """A bar on a terminal; a line per step elsewhere, all on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text, share: click.echo(f"{share:4.0%}  {text}", err=True)
        return
    with Progress(console=console) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda text, share: bar.update(task, completed=share, description=text)
        bar.update(task, completed=1.0, description=title)


@model.command("list")
@click.argument("product")
def list_models(product: str) -> None:
    """Show every model of PRODUCT: what it learned from, how good it was, whether it speaks."""
    with connect(database_url(load_settings()), name="model list") as connection:
        row = _product(connection, product)
        rows = store.read_models(connection, product_id=row.id)
        newest = job_store.read_trainings(connection, product_id=row.id, limit=1)
        is_running = not job_store.is_free(connection, product_id=row.id)
        roles = store.read_roles(connection, product_id=row.id)
    kept = [model for models in roles.values() for model in models.values()]
    gone = {model.id: lost(Catalog(row.product), model.model) for model in kept}
    if newest and newest[0].state == "running" and is_running:
        now = newest[0]
        click.echo(f"being trained since {now.began_at:%H:%M}: {now.step}, {now.share:.0%} done")
    if not rows:
        click.echo(
            f"nothing was learned yet; the first layer speaks: `forecare model train {product}`"
        )
        return
    show_table(
        (
            "model",
            "failure mode",
            "revision",
            "role",
            "learned from",
            "devices",
            "failures",
            "better in",
            "remaining life",
        ),
        [
            (
                str(item.id),
                item.failure_mode,
                str(item.revision),
                "silent"
                if gone.get(item.id)
                else {"champion": "speaks", "shadow": "in shadow"}.get(item.role or "", ""),
                f"{item.data_from:%d %b %Y} to {item.data_through:%d %b %Y}",
                str(item.devices),
                str(item.failures),
                f"{item.figures.get('better_share', 0):.0%}" if item.judged else "–",
                item.life.words.removeprefix("remaining life "),
            )
            for item in rows
        ],
    )
    _show_silent(product, gone)


def _show_silent(product: str, gone: Mapping[int, Sequence[str]]) -> None:
    for number, names in gone.items():
        if names:
            click.echo(
                f"model {number} is silent and the first layer speaks: the sheet has changed, and what it looks at is gone or"
                f" stands elsewhere ({', '.join(names)}); `forecare model train {product}` learns by today's sheet"
            )


@model.command()
@click.argument("product")
def history(product: str) -> None:
    """Show when PRODUCT was trained, which models came and went, and why, the newest first.

    And which failure modes' rules were demoted for too many false alarms, or put back.
    """
    with connect(database_url(load_settings()), name="model history") as connection:
        row = _product(connection, product)
        models = store.read_events(connection, product_id=row.id, limit=_EVENTS_SHOWN)
        rules = rules_store.read_events(connection, product_id=row.id, limit=_EVENTS_SHOWN)
        trainings = job_store.read_trainings(connection, product_id=row.id, limit=_TRAININGS_SHOWN)
    if not (trainings or models or rules):
        click.echo(f"{product} was never trained, and no rule of it was demoted")
        return
    both: list[ModelEvent | RuleEvent] = [*models, *rules]
    events = sorted(both, key=lambda event: event.at, reverse=True)[:_EVENTS_SHOWN]
    if trainings:
        _show_trainings(trainings)
    if events:
        _show_events(events)


def _show_trainings(trainings: Sequence[Training]) -> None:
    show_table(
        ("trained", "because", "failures known", "took", "outcome"),
        [
            (
                f"{training.began_at:%Y-%m-%d %H:%M}",
                _BECAUSE[training.reason],
                str(training.failures),
                str(
                    timedelta(
                        seconds=round((training.updated_at - training.began_at).total_seconds())
                    )
                ),
                f"{training.state}: {training.outcome or training.step}",
            )
            for training in trainings
        ],
    )


def _show_events(events: Sequence[ModelEvent | RuleEvent]) -> None:
    show_table(
        ("when", "failure mode", "model", "what", "why"),
        [
            (
                f"{event.at:%Y-%m-%d %H:%M}",
                event.failure_mode,
                "first layer" if event.model_id is None else str(event.model_id),
                event.change,
                event.reason,
            )
            for event in events
        ],
    )


@model.command()
@click.argument("number", type=int)
def show(number: int) -> None:
    """Show all about model NUMBER: data range, features, figures, code version, and what it said in shadow.

    Figures are those of devices that nobody learned from, beside what spoke then. The Brier score is the mean
    squared error of the chance of failing within the time that the scheduler needs; lower is better.
    """
    with connect(database_url(load_settings()), name="model show") as connection:
        card = store.read_card(connection, model_id=number)
    show_table(("model", str(number)), card_lines(card))
    if card.row.judged:
        show_table(("on devices never seen", "this model", "what spoke"), contest_lines(card.row))


@model.command()
@click.argument("number", type=int)
@click.option("--reason", default="put back by hand", show_default=True, help="Kept with it.")
def restore(number: int, reason: str) -> None:
    """Let model NUMBER speak (again), whichever speaks now."""
    with connect(database_url(load_settings()), name="model restore") as connection:
        kept = service.restore(connection, model_id=number, reason=reason, now=wall_now())
    click.echo(f"model {kept.id} speaks for {kept.failure_mode} from the next forecast on")


@model.command()
@click.argument("number", type=int)
@click.option("--end", is_flag=True, help="Ask it no longer.")
@click.option("--reason", default="asked for by hand", show_default=True, help="Kept with it.")
def shadow(number: int, reason: str, *, end: bool) -> None:
    """Ask model NUMBER about live data without letting it speak.

    `forecare model show NUMBER` says how often it was asked, and what it said beside what was said; each
    answer is a row of anomaly.shadow_forecast. One model per failure mode is in shadow.
    """
    with connect(database_url(load_settings()), name="model shadow") as connection:
        if end:
            kept = service.end_shadow(connection, model_id=number, reason=reason, now=wall_now())
            click.echo(f"model {kept.id} is no longer asked for {kept.failure_mode}")
            return
        kept = service.shadow(connection, model_id=number, reason=reason, now=wall_now())
    click.echo(f"model {kept.id} is in shadow for {kept.failure_mode} from the next forecast on")


@model.command()
@click.argument("product")
@click.argument("failure_mode")
@click.option("--reason", default="withdrawn by hand", show_default=True, help="Kept with it.")
def withdraw(product: str, failure_mode: str, reason: str) -> None:
    """Let the first layer speak alone again for FAILURE_MODE of PRODUCT."""
    with connect(database_url(load_settings()), name="model withdraw") as connection:
        row = _product(connection, product)
        if failure_mode not in {mode.name for mode in row.product.failure_modes}:
            raise NotFoundError(
                f"{product} has no failure mode {failure_mode!r}",
                hint=f"its failure modes: {', '.join(m.name for m in row.product.failure_modes)}",
            )
        done = service.withdraw(
            connection, product_id=row.id, failure_mode=failure_mode, reason=reason, now=wall_now()
        )
    click.echo("the first layer speaks" if done else "the first layer spoke already")


def _product(connection: Connection, name: str) -> products.ProductRow:
    rows = {row.product.name: row for row in products.read_products(connection)}
    if name not in rows:
        raise NotFoundError(
            f"there is no product {name!r} with data",
            hint=f"products with data: {', '.join(sorted(rows)) or 'none'}",
        )
    return rows[name]


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: give whole numbers with commas between, for instance 0,1,2"
        ) from None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
