"""The way in and out: a form, demo links, and the start page of each role."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import accounts, words
from api.accounts import Account, Role, Session
from api.auth import PUBLIC, Context, Ctx, NotSignedInError, ReaderAny, WriterAny
from api.entry import read_entry
from api.pages.render import render
from api.passwords import PASSWORD_LENGTH_MAX, ThrottledError
from api.rest.session import address_of, sign_in_with_password

router = APIRouter(include_in_schema=False)

Next = Annotated[str, Query(max_length=300)]
EntryToken = Annotated[str, Path(max_length=400)]

START_PAGE: dict[Role, str] = {"owner": "/home", "technician": "/work", "manufacturer": "/fleet"}


@router.get("/")
def start(person: ReaderAny) -> Response:
    return RedirectResponse(START_PAGE[person.role], 303)


@router.get("/sign-in", dependencies=[PUBLIC])
def sign_in_page(request: Request, next: Next = "") -> HTMLResponse:  # noqa: A002 - the name in the address
    return render(request, "sign_in.html", next=next, email="", problem="")


@router.post("/sign-in", dependencies=[PUBLIC])
def sign_in(
    request: Request,
    context: Ctx,
    email: Annotated[str, Form(max_length=254)],
    password: Annotated[str, Form(max_length=PASSWORD_LENGTH_MAX)],
    next: Annotated[str, Form(max_length=300)] = "",  # noqa: A002 - the name in the form
) -> Response:
    try:
        account, session = sign_in_with_password(
            context, email=email, password=password, address=address_of(request)
        )
    except (NotSignedInError, ThrottledError) as error:
        status = 429 if isinstance(error, ThrottledError) else 401
        problem = f"{error}. {error.hint}".capitalize()
        return render(
            request, "sign_in.html", status=status, next=next, email=email, problem=problem
        )
    return _enter(context, account, session, next_page=next)


@router.post("/sign-out")
def sign_out(_person: WriterAny, request: Request, context: Ctx) -> Response:
    with context.pool.connection() as connection:
        accounts.end_session(connection, request.cookies.get(context.cookie_name, ""))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(context.cookie_name, path="/")
    return answer


@router.get("/enter/{token}", dependencies=[PUBLIC])
def entry_page(token: EntryToken, request: Request, context: Ctx) -> HTMLResponse:
    """Show one button; opening the link alone signs nobody in, as mail scanners open links too."""
    account = read_entry(context, token)
    return render(
        request, "enter.html", token=token, role=words.ROLE[account.role], email=account.email
    )


@router.post("/enter/{token}", dependencies=[PUBLIC])
def enter(token: EntryToken, context: Ctx) -> Response:
    account = read_entry(context, token)
    with context.pool.connection() as connection:
        session = accounts.begin_session(connection, account.id, now=context.clock())
    return _enter(context, account, session, next_page="")


def _enter(context: Context, account: Account, session: Session, *, next_page: str) -> Response:
    # Only a path of ours: "//host" and "/\host" would lead away.
    is_ours = next_page.startswith("/") and not next_page.startswith(("//", "/\\"))
    answer = RedirectResponse(next_page if is_ours else START_PAGE[account.role], 303)
    set_cookie(context, answer, session)
    return answer


def set_cookie(context: Context, answer: Response, session: Session) -> None:
    """Let a browser keep a session: for our pages alone, out of the reach of scripts."""
    answer.set_cookie(
        context.cookie_name,
        session.token,
        max_age=int(accounts.SESSION_FOR.total_seconds()),
        path="/",
        secure=context.is_https,
        httponly=True,
        samesite="lax",
    )
