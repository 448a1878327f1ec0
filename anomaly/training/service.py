"""What others may call: train a product's models, let one speak or fall silent, say how it came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np

from anomaly.learn.frame import Frame, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel, fit_mode_model
from anomaly.learn.store import read_histories
from anomaly.records import FloatArray
from anomaly.store import ProductRow
from anomaly.training import store
from anomaly.training.contest import Champion, Contest, contest
from anomaly.training.records import KeptModel, ModelChange, Role
from anomaly.training.said import FirstLayer
from anomaly.training.said_store import read_said
from anomaly.training.slices import Slices, cut, is_judge
from core.errors import InvalidError
from core.failpoint import failpoint
from core.pool import Connection

SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What became of one failure mode's challenger."""

    model_id: int
    contest: Contest
    is_promoted: bool


def challengers(
    catalog: Catalog, histories: Sequence[History], *, slices: Slices, seeds: Sequence[int]
) -> dict[str, ModeModel]:
    """Learn every failure mode from the devices that teach. Pure."""
    teachers = [history for history in histories if not is_judge(history.device)]
    if not teachers:
        raise InvalidError(
            "every device of the product is kept aside to judge", hint="it takes a few devices more"
        )
    return {
        mode: fit_mode_model(
            catalog, teachers, mode=mode, train_until_us=slices.train_until_us,
            calibrate_until_us=slices.calibrate_until_us, seeds=seeds,
        )
        for mode in catalog.modes
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """A learned champion: what it says at the instants of a frame that another model's spec made."""

    catalog: Catalog
    model: ModeModel

    def __call__(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        at = [frame.at_us[frame.device == number] for number in range(len(histories))]
        own = make_frame(self.catalog, self.model.spec, histories, at_us=at)
        return np.asarray(1 - self.model.survival(own.x, [hours])[:, 0])


def train_product(
    connection: Connection, row: ProductRow, *, now: datetime, seeds: Sequence[int] = SEEDS
) -> list[Trained]:
    """Train a challenger per failure mode; it speaks from now on where it is surely better; the caller commits.

    A crash before the COMMIT leaves everything as it was.
    """
    store.lock_product(connection, product_id=row.id)
    catalog = Catalog(row.product)
    names = store.read_devices(connection, product_id=row.id)
    histories = read_histories(connection, catalog, list(names))
    slices = cut(histories)
    judges = {device_id: name for device_id, name in names.items() if is_judge(name)}
    said = read_said(connection, catalog, names=judges, from_us=slices.calibrate_until_us)
    first_layer = FirstLayer(catalog=catalog, said=said)
    speaking = store.read_roles(connection, product_id=row.id)["champion"]
    done = []
    for mode, model in challengers(catalog, histories, slices=slices, seeds=seeds).items():
        champion: Champion = first_layer.of(mode)
        if mode in speaking:
            champion = Speaking(catalog=catalog, model=speaking[mode].model)
        result = contest(
            catalog, histories, challenger=model, champion=champion, slices=slices, seed=seeds[0]
        )
        done.append(_record(connection, product_id=row.id, model=model, result=result, now=now))
    failpoint("anomaly.before_training_commit")
    return done


def _record(
    connection: Connection, *, product_id: int, model: ModeModel, result: Contest, now: datetime
) -> Trained:
    model_id = store.add_model(
        connection, product_id=product_id, model=model, figures=msgspec.to_builtins(result), now=now
    )
    kept = KeptModel(id=model_id, failure_mode=model.mode, model=model)
    if result.is_better:
        store.set_role(connection, product_id=product_id, kept=kept, role="champion", now=now)
    store.add_event(
        connection,
        product_id=product_id,
        failure_mode=model.mode,
        model_id=model_id,
        change="promoted" if result.is_better else "refused",
        reason=result.reason,
        now=now,
    )
    return Trained(model_id=model_id, contest=result, is_promoted=result.is_better)


def restore(connection: Connection, *, model_id: int, reason: str, now: datetime) -> KeptModel:
    """Let a model speak again, whichever speaks now; the caller commits."""
    return _appoint(
        connection, model_id, role="champion", change="restored", reason=reason, now=now
    )


def shadow(connection: Connection, *, model_id: int, reason: str, now: datetime) -> KeptModel:
    """Ask a model on live data without letting it speak; the caller commits."""
    return _appoint(connection, model_id, role="shadow", change="shadowed", reason=reason, now=now)


def _appoint(  # noqa: PLR0913 - a role and why, named
    connection: Connection,
    model_id: int,
    *,
    role: Role,
    change: ModelChange,
    reason: str,
    now: datetime,
) -> KeptModel:
    product_id, kept = store.read_model(connection, model_id=model_id)
    store.lock_product(connection, product_id=product_id)
    store.set_role(connection, product_id=product_id, kept=kept, role=role, now=now)
    store.add_event(
        connection, product_id=product_id, failure_mode=kept.failure_mode, model_id=kept.id,
        change=change, reason=reason, now=now,
    )  # fmt: skip
    return kept


def withdraw(
    connection: Connection, *, product_id: int, failure_mode: str, reason: str, now: datetime
) -> bool:
    """Let the first layer speak alone again; False when it did already. The caller commits."""
    store.lock_product(connection, product_id=product_id)
    was_speaking = store.clear_role(
        connection, product_id=product_id, failure_mode=failure_mode, role="champion"
    )
    if was_speaking:
        store.add_event(
            connection, product_id=product_id, failure_mode=failure_mode, model_id=None,
            change="withdrawn", reason=reason, now=now,
        )  # fmt: skip
    return was_speaking
