"""What owners were sent (with the built-in mail sink), and what the door refused."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import store
from api.auth import Ctx, ReaderManufacturer, WriterManufacturer, not_found
from api.pages.render import render
from api.rest.dead_letters import replayed
from api.rest.model import Cursor, Id
from maintenance.inbox_reader import list_messages, read_message

router = APIRouter(include_in_schema=False)

_ROWS = 100
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=,+-]{0,199}$")]


@router.get("/inbox")
def inbox(person: ReaderManufacturer, request: Request, context: Ctx) -> HTMLResponse:
    messages = list_messages(_directory(context), count_max=_ROWS)
    return render(request, "inbox.html", person=person, messages=messages, now=context.clock())


@router.get("/inbox/{key}")
def message_page(
    person: ReaderManufacturer, request: Request, context: Ctx, key: Key
) -> HTMLResponse:
    message = read_message(_directory(context), key)
    return render(request, "message.html", person=person, message=message)


@router.get("/inbox/{key}/body")
def message_body(_person: ReaderManufacturer, context: Ctx, key: Key) -> HTMLResponse:
    """Give a message's HTML to the frame around it: no scripts, nothing from elsewhere."""
    message = read_message(_directory(context), key)
    headers = {"Content-Security-Policy": _MAIL_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(f'<base target="_blank">{message.html}', headers=headers)


@router.get("/dead-letters")
def dead_letters(
    person: ReaderManufacturer, request: Request, context: Ctx, before: Cursor = None
) -> HTMLResponse:
    with context.pool.connection() as connection:
        letters = store.dead_letters(connection, before=before, limit=_ROWS)
    more = letters[-1].id if len(letters) == _ROWS else None
    return render(
        request, "dead_letters.html", person=person, letters=letters, more=more, now=context.clock()
    )


@router.post("/dead-letters/{letter_id}/replay")
def replay(_person: WriterManufacturer, context: Ctx, letter_id: Id) -> Response:
    replayed(context, letter_id)
    return RedirectResponse("/dead-letters", 303)


def _directory(context: Ctx) -> str:
    directory = context.settings.inbox_dir
    if not directory:
        raise not_found("page")
    return directory
