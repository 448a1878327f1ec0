"""Who may do what. Every route names a policy; `make_app` refuses to start with one that has none."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.routing import APIRoute

from api import accounts
from api.accounts import Person, Role
from api.passwords import Passwords, Throttle
from api.watch import DatabaseWatch
from core.clock import Clock
from core.errors import ForecareError, NotFoundError, PermanentError
from core.pool import Pool
from core.settings import Settings

_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class NotSignedInError(PermanentError):
    """Nobody is signed in, or the session has ended."""


class NotAllowedError(PermanentError):
    """This person may not do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the endpoints of one application share."""

    settings: Settings
    pool: Pool
    clock: Clock
    passwords: Passwords
    throttle: Throttle
    database: DatabaseWatch

    @property
    def is_https(self) -> bool:
        return self.settings.base_url.startswith("https://")

    @property
    def cookie_name(self) -> str:
        """Under https the prefix makes browsers refuse one that another host has set."""
        return "__Host-forecare" if self.is_https else "forecare"


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(context_of)]


class Policy:
    """Marks a dependency that decides who may call a route."""

    roles: tuple[Role, ...] = ()


class Public(Policy):
    """Anybody may call it: the way in, and links that carry their own secret."""

    def __call__(self) -> None:
        return None


class Caller(Policy):
    """A program with a Bearer token; a page's own scripts may read with their cookie, never write."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    def __call__(self, request: Request, context: Ctx) -> Person:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = (
                "" if request.method in _UNSAFE else request.cookies.get(context.cookie_name, "")
            )
        return _person(context, token.strip(), self.roles)


class Reader(Policy):
    """A person with a browser who looks at a page."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    def __call__(self, request: Request, context: Ctx) -> Person:
        return _person(context, request.cookies.get(context.cookie_name, ""), self.roles)


class Writer(Policy):
    """A person with a browser who sends a form of ours: the form carries the session's secret."""

    def __init__(self, *roles: Role) -> None:
        self.roles = roles

    def __call__(
        self, request: Request, context: Ctx, csrf_token: Annotated[str, Form(max_length=100)] = ""
    ) -> Person:
        person = _person(context, request.cookies.get(context.cookie_name, ""), self.roles)
        if not accounts.is_same_token(csrf_token, person.csrf_token):
            raise NotAllowedError(
                "this form was not sent from a page of ours, or you have signed in anew since",
                hint="go back, load the page again and send it once more",
            )
        return person


PUBLIC = Depends(Public())
CallerManufacturer = Annotated[Person, Depends(Caller("manufacturer"))]
CallerTechnician = Annotated[Person, Depends(Caller("technician", "manufacturer"))]
CallerOwner = Annotated[Person, Depends(Caller("owner"))]
CallerOwnerOrManufacturer = Annotated[Person, Depends(Caller("owner", "manufacturer"))]
CallerAny = Annotated[Person, Depends(Caller(*accounts.ROLES))]
ReaderManufacturer = Annotated[Person, Depends(Reader("manufacturer"))]
ReaderTechnician = Annotated[Person, Depends(Reader("technician"))]
ReaderOwner = Annotated[Person, Depends(Reader("owner"))]
ReaderAny = Annotated[Person, Depends(Reader(*accounts.ROLES))]
WriterManufacturer = Annotated[Person, Depends(Writer("manufacturer"))]
WriterTechnician = Annotated[Person, Depends(Writer("technician"))]
WriterOwner = Annotated[Person, Depends(Writer("owner"))]
WriterAny = Annotated[Person, Depends(Writer(*accounts.ROLES))]


def policy_of(route: APIRoute) -> Policy | None:
    """Return the one policy that a route names, None when it names none."""
    calls: list[object] = [d.call for d in route.dependant.dependencies]
    found = [call for call in calls if isinstance(call, Policy)]
    return found[0] if len(found) == 1 else None


def assert_policies(routes: Iterable[APIRoute]) -> None:
    """Refuse an application with a route that does not say who may call it."""
    for route in routes:
        policy = policy_of(route)
        if policy is None:
            raise ForecareError(
                f"route {route.path} names no policy, or more than one", hint="see api/auth.py"
            )
        if isinstance(policy, Reader) and (route.methods or set()) & _UNSAFE:
            raise ForecareError(
                f"route {route.path} changes something without a form's secret",
                hint="use a Writer policy",
            )


def not_found(what: str) -> NotFoundError:
    """The same answer for what does not exist and for what belongs to somebody else."""
    return NotFoundError(f"there is no such {what}, or it is not yours to see")


def _person(context: Context, token: str, roles: tuple[Role, ...]) -> Person:
    person = None
    if token:
        with context.pool.connection() as connection:
            person = accounts.person_of(connection, token, now=context.clock())
        context.database.is_back()
    if person is None:
        raise NotSignedInError("nobody is signed in, or the session has ended", hint="sign in")
    if person.role not in roles:
        raise NotAllowedError(f"as {person.role} you may not do this")
    return person
