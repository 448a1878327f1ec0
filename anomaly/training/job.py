"""A training from beginning to end: claimed, followed step by step, kept whole or not at all.

The process that trains holds a lock of its session. When it dies the lock is gone with it, and the next
one notes that and begins again; all that counts (models, who speaks, why) is written in one transaction.
Nothing is locked and no transaction is open while it computes, so scoring goes on.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from anomaly import store as products
from anomaly.evidence import instant
from anomaly.fleet import store as fleet
from anomaly.training import job_store, service
from anomaly.training.due import Known, Reason, reason_to_train
from core.clock import Clock
from core.errors import ConflictError, ForecareError
from core.failpoint import failpoint
from core.pool import Connection, connect

TRAININGS_READ = 20
OnStep = Callable[[str, float], None]
"""Is told what is done now, and the share of the steps that are behind, 0 to 1."""


def why_now(connection: Connection, row: products.ProductRow, *, now: datetime) -> Reason | None:
    """Return why a product should be trained now; None: it need not, or somebody trains it."""
    if not job_store.is_free(connection, product_id=row.id):
        return None
    return _reason(connection, row, now=now)


def train(  # noqa: PLR0913 - one training, named
    database_url: str,
    row: products.ProductRow,
    *,
    clock: Clock,
    only_if_due: bool = False,
    seeds: Sequence[int] = service.SEEDS,
    on_step: OnStep = lambda _text, _share: None,
    spread: service.Spread = nullcontext,
) -> list[service.Trained] | None:
    """Train a product's failure modes, and let what is better speak from now on.

    Returns
    -------
    list of Trained or None
        None if it was to be trained only if due, and is not.

    Raises
    ------
    ConflictError
        If another process trains the product.
    """
    with connect(database_url, name="training", autocommit=True) as own:
        if not job_store.claim(own, product_id=row.id):
            raise ConflictError(
                f"{row.product.name} is being trained already",
                hint=f"`forecare model list {row.product.name}` shows how far it is",
            )
        job_store.bury(own, product_id=row.id)
        reason = _reason(own, row, now=clock()) if only_if_due else "asked"
        if reason is None:
            return None
        known = _known(own, row) or Known(through=instant(row.newest_us), failures={})
        training_id = job_store.begin(
            own, product_id=row.id, reason=reason, known=known, now=clock()
        )
        steps = _Steps(
            connection=own, training_id=training_id, clock=clock, on_step=on_step,
            number=service.steps_of(row),
        )  # fmt: skip
        try:
            return _train(
                database_url, row, training_id, clock=clock, seeds=seeds, steps=steps, spread=spread
            )
        except ForecareError as error:
            job_store.end(
                own, training_id=training_id, state="failed", outcome=str(error), now=clock()
            )
            raise


def _train(  # noqa: PLR0913 - one training, named
    database_url: str,
    row: products.ProductRow,
    training_id: int,
    *,
    clock: Clock,
    seeds: Sequence[int],
    steps: "_Steps",
    spread: service.Spread,
) -> list[service.Trained]:
    with connect(database_url, name="training, reading") as connection:
        material = service.read_material(connection, row, on_step=steps)
    learned = service.learn(material, seeds=seeds, on_step=steps, spread=spread)
    with connect(database_url, name="training, writing") as connection:
        done = service.keep(connection, material, learned, training_id=training_id, now=clock())
        job_store.end(
            connection, training_id=training_id, state="done", outcome=outcome_of(done), now=clock()
        )
        failpoint("anomaly.before_training_commit")
    return done


def outcome_of(done: Sequence[service.Trained]) -> str:
    """Say what became of a training."""
    better = [item.contest.mode for item in done if item.is_promoted]
    speaks = f"better: {', '.join(better)}" if better else "nothing better than what speaks"
    return f"{len(done)} failure modes; {speaks}"


def _reason(connection: Connection, row: products.ProductRow, *, now: datetime) -> Reason | None:
    known = _known(connection, row)
    if known is None:
        return None
    trainings = job_store.read_trainings(connection, product_id=row.id, limit=TRAININGS_READ)
    return reason_to_train(known, trainings, now=now)


def _known(connection: Connection, row: products.ProductRow) -> Known | None:
    through = fleet.watermark(connection, product_id=row.id, late_after=row.product.late_after)
    if through is None:
        return None
    return job_store.read_known(connection, product_id=row.id, through=through)


@dataclass(kw_only=True)
class _Steps:
    """Counts the steps of a training, and writes each down for whoever looks."""

    connection: Connection
    training_id: int
    clock: Clock
    on_step: OnStep
    number: int
    _done: "count[int]" = field(default_factory=count)

    def __call__(self, text: str) -> None:
        share = min(1.0, next(self._done) / self.number)
        self.on_step(text, share)
        job_store.step(
            self.connection, training_id=self.training_id, text=text, share=share, now=self.clock()
        )
