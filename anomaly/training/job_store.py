"""Keeps how trainings go; part of the only writer of `anomaly`. Never commits."""

from collections.abc import Sequence
from datetime import datetime

from anomaly.training.due import Known, Reason, State, Training
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
_DIED = "its process ended before it did"


def claim(connection: Connection, *, product_id: int) -> bool:
    """Take a product for this session; False while another process has it."""
    return _is(connection, "claim_training", product_id)


def is_free(connection: Connection, *, product_id: int) -> bool:
    """Whether no process trains the product now."""
    return _is(connection, "training_is_free", product_id)


def bury(connection: Connection, *, product_id: int) -> int:
    """Note that trainings which still say that they run have died; only for who has claimed the product."""
    values = {"product_id": product_id, "outcome": _DIED}
    return connection.execute(_queries["bury_trainings"], values).rowcount


def begin(
    connection: Connection, *, product_id: int, reason: Reason, known: Known, now: datetime
) -> int:
    row = connection.execute(
        _queries["begin_training"],
        {
            "product_id": product_id,
            "reason": reason,
            "through": known.through,
            "failures": known.total,
            "now": now,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def step(
    connection: Connection, *, training_id: int, text: str, share: float, now: datetime
) -> None:
    values = {"id": training_id, "step": text, "share": share, "now": now}
    connection.execute(_queries["step_training"], values)


def end(
    connection: Connection, *, training_id: int, state: State, outcome: str, now: datetime
) -> None:
    values = {"id": training_id, "state": state, "outcome": outcome, "now": now}
    connection.execute(_queries["end_training"], values)


def read_trainings(connection: Connection, *, product_id: int, limit: int) -> Sequence[Training]:
    """Return trainings, the newest first."""
    values = {"product_id": product_id, "limit": limit}
    return [
        Training(
            id=row[0], reason=row[1], state=row[2], through=row[3], failures=row[4], step=row[5],
            share=row[6], outcome=row[7], began_at=row[8], updated_at=row[9],
        )
        for row in connection.execute(_queries["trainings"], values)
    ]  # fmt: skip


def read_known(connection: Connection, *, product_id: int, through: datetime) -> Known:
    """Return what is known of a product; `through`: event time that its devices have in common."""
    rows = connection.execute(_queries["known_failures"], {"product_id": product_id}).fetchall()
    return Known(through=through, failures={row[0]: row[1] for row in rows})


def _is(connection: Connection, query: str, product_id: int) -> bool:
    row = connection.execute(_queries[query], {"product_id": product_id}).fetchone()
    return bool(row and row[0])
