"""What others may call: train a product's models, let one speak or fall silent, say how it came about."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from joblib import Parallel, delayed

from anomaly.learn.fit import fit_mode, ground_of, lay_out, learn_together, told_by_mode
from anomaly.learn.fits import lost
from anomaly.learn.frame import Frame, make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.model import ModeModel
from anomaly.learn.store import read_histories
from anomaly.records import FloatArray
from anomaly.store import ProductRow, read_products
from anomaly.training import store
from anomaly.training.contest import Champion, Contest, contest
from anomaly.training.live import fitting
from anomaly.training.records import KeptModel, ModelChange, Role, life_told
from anomaly.training.said import FirstLayer
from anomaly.training.said_store import read_said
from anomaly.training.slices import Slices, cut, is_judge
from anomaly.training.speaker import look
from core.errors import ConflictError, InvalidError
from core.pool import Connection

SEEDS = (0, 1, 2)
OnStep = Callable[[str], None]
"""Is told what is begun, for people."""
Spread = Callable[[object], AbstractContextManager[object]]
"""Within it joblib works in parallel, somewhere; it is given what all work shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What became of one failure mode's challenger."""

    model_id: int
    contest: Contest
    is_promoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a training is made from, read at one moment."""

    product_id: int
    catalog: Catalog
    histories: Sequence[History]
    slices: Slices
    first_layer: FirstLayer
    speaking: Mapping[str, KeptModel]
    """By failure mode, who spoke then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A challenger, and how its contest went."""

    model: ModeModel
    contest: Contest


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaking:
    """A learned champion: what it says at the instants of a frame that another model's spec made."""

    catalog: Catalog
    model: ModeModel

    def chance(self, histories: Sequence[History], frame: Frame, hours: float) -> FloatArray:
        at = [frame.at_us[frame.device == number] for number in range(len(histories))]
        own = make_frame(self.catalog, self.model.spec, histories, at_us=at)
        return np.asarray(1 - self.model.survival(own.x, [hours])[:, 0])

    def life(self, histories: Sequence[History], frame: Frame) -> FloatArray:
        at = [frame.at_us[frame.device == number] for number in range(len(histories))]
        return look(self.catalog, self.model, histories, at)[1]


def steps_of(row: ProductRow) -> int:
    """Return the number of steps of a training."""
    return 2 + 2 * len(row.product.failure_modes)


def read_material(connection: Connection, row: ProductRow, *, on_step: OnStep) -> Material:
    """Read all that a product's training needs; nothing is read after it."""
    on_step("reading histories")
    catalog = Catalog(row.product)
    names = store.read_devices(connection, product_id=row.id)
    histories = read_histories(connection, catalog, list(names))
    slices = cut(histories)
    judges = {device_id: name for device_id, name in names.items() if is_judge(name)}
    said = read_said(connection, catalog, names=judges, from_us=slices.calibrate_until_us)
    return Material(
        product_id=row.id,
        catalog=catalog,
        histories=histories,
        slices=slices,
        first_layer=FirstLayer(catalog=catalog, said=said),
        speaking=fitting(catalog, store.read_roles(connection, product_id=row.id)["champion"]),
    )


def challengers(  # noqa: PLR0913 - what to learn from and how, named
    catalog: Catalog,
    histories: Sequence[History],
    *,
    slices: Slices,
    seeds: Sequence[int],
    on_step: OnStep = lambda _text: None,
    spread: Spread = nullcontext,
) -> dict[str, ModeModel]:
    """Learn every failure mode from the devices that teach. Pure."""
    teachers = [history for history in histories if not is_judge(history.device)]
    if not teachers:
        raise InvalidError(
            "every device of the product is kept aside to judge", hint="it takes a few devices more"
        )
    on_step("learning")
    found: dict[str, ModeModel] = {}
    ground = ground_of(
        catalog, teachers, train_until_us=slices.train_until_us,
        calibrate_until_us=slices.calibrate_until_us, seeds=seeds,
    )  # fmt: skip
    told = told_by_mode(catalog, learn_together(ground))
    tables = lay_out(ground, next(iter(told.values()), None))
    with spread(tables):
        learned = Parallel(return_as="generator")(
            delayed(fit_mode)(tables, mode, told[mode]) for mode in catalog.modes
        )
        for mode, model in zip(catalog.modes, learned, strict=True):
            on_step(f"{mode}: learned")
            found[mode] = model
    return found


def learn(
    material: Material, *, seeds: Sequence[int], on_step: OnStep, spread: Spread = nullcontext
) -> list[Learned]:
    """Learn every failure mode, and let it compete on the devices that judge. Pure.

    Raises
    ------
    InvalidError
        If nobody teaches.
    """
    models = challengers(
        material.catalog, material.histories, slices=material.slices, seeds=seeds, on_step=on_step,
        spread=spread,
    )  # fmt: skip
    return [_compete(material, model, seeds, on_step) for model in models.values()]


def _compete(
    material: Material, model: ModeModel, seeds: Sequence[int], on_step: OnStep
) -> Learned:
    on_step(f"{model.mode}: judging")
    champion: Champion = material.first_layer.of(model.mode)
    if model.mode in material.speaking:
        kept = material.speaking[model.mode]
        champion = Speaking(catalog=material.catalog, model=kept.model)
    result = contest(
        material.catalog, material.histories, challenger=model, champion=champion,
        slices=material.slices, seed=seeds[0],
    )  # fmt: skip
    return Learned(model=model, contest=result)


def keep(
    connection: Connection,
    material: Material,
    learned: Sequence[Learned],
    *,
    training_id: int,
    now: datetime,
) -> list[Trained]:
    """Keep challengers; one speaks from now on where it is surely better. The caller commits.

    Where somebody let another model speak in the meantime, the contest was against the wrong one: then the
    challenger is kept and stays silent.
    """
    store.lock_product(connection, product_id=material.product_id)
    roles = store.read_role_ids(connection, product_id=material.product_id)
    speaks = {mode: model_id for mode, role, model_id in roles if role == "champion"}
    done = []
    for item in learned:
        mode = item.model.mode
        spoke = material.speaking.get(mode)
        is_same = speaks.get(mode) == (None if spoke is None else spoke.id)
        done.append(
            _keep(
                connection, item, product_id=material.product_id, training_id=training_id,
                is_same=is_same, now=now,
            )
        )  # fmt: skip
    return done


def _keep(  # noqa: PLR0913 - one challenger, named
    connection: Connection,
    item: Learned,
    *,
    product_id: int,
    training_id: int,
    is_same: bool,
    now: datetime,
) -> Trained:
    model, result = item.model, item.contest
    told = life_told(model)
    model_id = store.add_model(
        connection, product_id=product_id, model=model,
        figures=msgspec.to_builtins(result) | {"life": msgspec.to_builtins(told)},
        training_id=training_id, now=now,
    )  # fmt: skip
    kept = KeptModel(id=model_id, failure_mode=model.mode, model=model)
    speaks = result.is_better and is_same
    if speaks:
        store.set_role(connection, product_id=product_id, kept=kept, role="champion", now=now)
    store.add_event(
        connection,
        product_id=product_id,
        failure_mode=model.mode,
        model_id=model_id,
        change="promoted" if speaks else "refused",
        reason=f"{result.reason}; {told.words}"
        if is_same
        else "another model was let speak while it was trained",
        now=now,
    )
    return Trained(model_id=model_id, contest=result, is_promoted=speaks)


def restore(connection: Connection, *, model_id: int, reason: str, now: datetime) -> KeptModel:
    """Let a model speak again, whichever speaks now; the caller commits.

    Raises
    ------
    ConflictError
        If today's sheet does not have what it looks at.
    """
    return _appoint(
        connection, model_id, role="champion", change="restored", reason=reason, now=now
    )


def shadow(connection: Connection, *, model_id: int, reason: str, now: datetime) -> KeptModel:
    """Ask a model on live data without letting it speak; the caller commits.

    Raises
    ------
    ConflictError
        If it speaks, or today's sheet does not have what it looks at.
    """
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
    held = {
        own: number
        for mode, own, number in store.read_role_ids(connection, product_id=product_id)
        if mode == kept.failure_mode
    }
    if held.get(role) == model_id:
        return kept
    if role == "shadow" and held.get("champion") == model_id:
        raise ConflictError(
            f"model {model_id} speaks for {kept.failure_mode}, so it is no shadow",
            hint=f"`forecare model withdraw PRODUCT {kept.failure_mode}` makes it silent first",
        )
    _check_fits(connection, product_id, kept)
    if role == "champion" and held.get("shadow") == model_id:
        store.clear_role(
            connection, product_id=product_id, failure_mode=kept.failure_mode, role="shadow"
        )
    store.set_role(connection, product_id=product_id, kept=kept, role=role, now=now)
    store.add_event(
        connection, product_id=product_id, failure_mode=kept.failure_mode, model_id=kept.id,
        change=change, reason=reason, now=now,
    )  # fmt: skip
    return kept


def _check_fits(connection: Connection, product_id: int, kept: KeptModel) -> None:
    """Refuse a model that could not be asked: it would be said to speak, and be silent."""
    sheets = [row.product for row in read_products(connection) if row.id == product_id]
    gone = [name for sheet in sheets for name in lost(Catalog(sheet), kept.model)]
    if gone:
        raise ConflictError(
            f"today's sheet does not have what model {kept.id} looks at, or has it elsewhere: {', '.join(gone)}",
            hint="`forecare model train PRODUCT` learns by today's sheet",
        )


def end_shadow(connection: Connection, *, model_id: int, reason: str, now: datetime) -> KeptModel:
    """Ask a model in shadow no longer; the caller commits.

    Raises
    ------
    ConflictError
        If it is not in shadow.
    """
    product_id, kept = store.read_model(connection, model_id=model_id)
    store.lock_product(connection, product_id=product_id)
    if (kept.failure_mode, "shadow", model_id) not in store.read_role_ids(
        connection, product_id=product_id
    ):
        raise ConflictError(
            f"model {model_id} is not in shadow", hint="`forecare model list PRODUCT` shows roles"
        )
    store.clear_role(
        connection, product_id=product_id, failure_mode=kept.failure_mode, role="shadow"
    )
    store.add_event(
        connection, product_id=product_id, failure_mode=kept.failure_mode, model_id=model_id,
        change="withdrawn", reason=reason, now=now,
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
