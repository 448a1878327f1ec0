"""The page behind the QR code on a device, and the one on which an owner hands a device over."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from api import accounts, claiming, store
from api.accounts import Person
from api.auth import PUBLIC, Context, Ctx, ReaderOwner, WriterOwner
from api.pages.render import render
from api.pages.sign_in import set_cookie
from api.passwords import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, ThrottledError
from api.rest.model import DeviceName
from api.rest.session import address_of
from core.errors import ForecareError, InvalidError
from gateway.claims import service as claims
from gateway.claims.codes import shown_code
from gateway.claims.labels import claim_url, qr_svg
from gateway.records import OwnerDraft, SiteDraft

router = APIRouter(include_in_schema=False)

CodeField = Annotated[str, Form(max_length=60)]
Line = Annotated[str, Form(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Zone = Annotated[str, Form(max_length=64, pattern=r"^[A-Za-z0-9_+/-]*$")]


@router.get("/claim", dependencies=[PUBLIC])
def claim_start(request: Request, context: Ctx) -> HTMLResponse:
    return _page(request, context)


@router.get("/claim/{code}", dependencies=[PUBLIC])
def claim_page(
    request: Request, context: Ctx, code: Annotated[str, Path(max_length=60)]
) -> HTMLResponse:
    """Say which device it is; opening the page changes nothing."""
    return _page(request, context, code=code)


@router.post("/claim", dependencies=[PUBLIC])
def look_up(code: CodeField) -> Response:
    """Turn what was typed into the address of its page."""
    typed = "".join(c for c in code if c.isalnum() or c == "-") or "-"
    return RedirectResponse(f"/claim/{typed}", 303)


@router.post("/claim/take")
def take(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterOwner,
    request: Request,
    context: Ctx,
    code: CodeField,
    site: Line = "",
    street: Line = "",
    city: Line = "",
    timezone: Zone = "",
) -> Response:
    place = _site(site, street, city, timezone)
    try:
        claiming.claim(context, person, code=code, site=place, address=address_of(request))
    except ForecareError as error:
        return _page(request, context, code=code, error=error, is_known=True)
    return RedirectResponse("/home", 303)


@router.post("/claim/register", dependencies=[PUBLIC])
def register(  # noqa: PLR0913, PLR0917 - each is one field of the form
    request: Request,
    context: Ctx,
    code: CodeField,
    name: Line,
    email: Annotated[str, Form(max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")],
    password: Annotated[str, Form(max_length=PASSWORD_LENGTH_MAX)],
    phone: Line = "",
    site: Line = "",
    street: Line = "",
    city: Line = "",
    timezone: Zone = "",
) -> Response:
    owner = OwnerDraft(
        name=name.strip() or email, email=email, phone=phone, timezone=timezone or "UTC"
    )
    try:
        _, session = claiming.register(
            context,
            owner=owner,
            password=password,
            code=code,
            site=_site(site, street, city, timezone),
            address=address_of(request),
        )
    except ForecareError as error:
        kept = {"name": name, "email": email, "phone": phone, "street": street, "city": city}
        return _page(request, context, code=code, error=error, is_known=True, kept=kept)
    answer = RedirectResponse("/home", 303)
    set_cookie(context, answer, session)
    return answer


@router.get("/devices/{name}/hand-over")
def hand_over_page(
    person: ReaderOwner, request: Request, context: Ctx, name: DeviceName
) -> HTMLResponse:
    return _hand_over(request, context, person, name, url="", code="")


@router.post("/devices/{name}/hand-over")
def hand_over(
    person: WriterOwner, request: Request, context: Ctx, name: DeviceName
) -> HTMLResponse:
    with context.pool.connection() as connection:
        store.device(connection, name, person=person, now=context.clock())
    made = claims.hand_over(
        context.pool,
        context.settings.key,
        name=name,
        owner_id=person.owner_id,
        now=context.clock(),
    )
    url = claim_url(context.settings.base_url, made.code)
    return _hand_over(request, context, person, name, url=url, code=shown_code(made.code))


def _hand_over(  # noqa: PLR0913, PLR0917 - the page, before and after
    request: Request, context: Context, person: Person, name: str, url: str, code: str
) -> HTMLResponse:
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
    drawn = Markup(qr_svg(url)) if url else ""  # noqa: S704 - segno's own drawing of our address
    return render(
        request, "hand_over.html", person=person, device=device, url=url, code=code, qr=drawn
    )


def _page(  # noqa: PLR0913 - the page, and what was tried on it
    request: Request,
    context: Context,
    *,
    code: str = "",
    error: ForecareError | None = None,
    is_known: bool = False,
    kept: Mapping[str, str] | None = None,
) -> HTMLResponse:
    person = _guest(request, context)
    found: claims.ClaimCode | None = None
    problem = error
    if code:
        try:
            # After an attempt the code has been counted; looking again must not count once more.
            found = (
                claims.look_up(context.pool, code=code)
                if is_known
                else claiming.look_up(context, code, address=address_of(request))
            )
        except ForecareError as other:
            problem = problem or other
    values: dict[str, Any] = {
        "person": person,
        "found": found,
        "code": shown_code(found.code) if found else code,
        "problem": _sentences(str(problem), problem.hint) if problem else "",
        "kept": {"name": "", "email": "", "phone": "", "street": "", "city": ""} | dict(kept or {}),
        "is_owner": person is not None and person.role == "owner",
        "password_length_min": PASSWORD_LENGTH_MIN,
    }
    return render(request, "claim.html", status=_status(problem), **values)


def _sentences(*texts: str) -> str:
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in texts if text)


def _status(problem: ForecareError | None) -> int:
    if problem is None:
        return 200
    if isinstance(problem, ThrottledError):
        return 429
    return 422 if isinstance(problem, InvalidError) else 409


def _guest(request: Request, context: Context) -> Person | None:
    token = request.cookies.get(context.cookie_name, "")
    if not token:
        return None
    with context.pool.connection() as connection:
        return accounts.person_of(connection, token, now=context.clock())


def _site(name: str, street: str, city: str, timezone: str) -> SiteDraft | None:
    if not (name or street or city):
        return None
    return SiteDraft(name=name, address=street, city=city, timezone=timezone or "UTC")
