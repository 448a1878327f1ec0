"""Is the process alive, and could it do something useful?"""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from api import store
from api.auth import PUBLIC, Ctx
from core.errors import RetryableError
from core.migrations import steps

router = APIRouter(tags=["health"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """How far each stage has come, in event time, and how many messages wait to be sent."""

    status: str
    migrations: int
    stored_through: datetime | None
    scored_through: datetime | None
    decided_through: datetime | None
    notifications_waiting: int


@router.get("/healthz", dependencies=[PUBLIC])
async def alive() -> Alive:
    """Say that this process answers; also while all threads wait for the database."""
    return Alive(status="alive")


@router.get("/readyz", dependencies=[PUBLIC])
def ready(context: Ctx) -> Ready:
    """Say whether the database answers and has our schema; 503 if not."""
    with context.pool.connection() as connection:
        state = store.readiness(connection)
    context.database.is_back()
    expected = len(steps())
    if state.migrations < expected:
        raise RetryableError(
            f"the database has {state.migrations} of {expected} migrations", hint="forecare migrate"
        )
    return Ready(
        status="ready",
        migrations=state.migrations,
        stored_through=state.stored_through,
        scored_through=state.scored_through,
        decided_through=state.decided_through,
        notifications_waiting=state.notifications_waiting,
    )
