"""Refused messages, and the way back for them."""

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from api.auth import CallerManufacturer, Ctx
from api.rest.model import Cursor, Id, Limit, Page, page_of

try:
    from ingest import service as ingest
except ImportError:
    ingest = None

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    id: int
    device_name: str
    topic: str
    reason: str
    detail: str
    received_at: datetime
    replayed_at: datetime | None
    replay_result: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    id: int
    result: str


@router.get("")
def list_dead_letters(
    _person: CallerManufacturer, context: Ctx, before: Cursor = None, limit: Limit = 100
) -> Page[DeadLetterRow]:
    """List refused messages, newest first; `before` continues below an id."""
    items = [
        _row(letter)
        for letter in ingest.list_dead_letters(context.pool, before=before, limit=limit)
    ]
    return page_of(items, limit=limit, cursor="id")


@router.post("/{letter_id}/replay")
def replay(_person: CallerManufacturer, context: Ctx, letter_id: Id) -> Replayed:
    """Send a refused message through the door once more."""
    result = ingest.replay_dead_letter(context.pool, letter_id, now=context.clock())
    return Replayed(id=letter_id, result=str(result))
