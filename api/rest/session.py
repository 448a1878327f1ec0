"""Signing in and out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from api import accounts
from api.accounts import Account, Role, Session
from api.auth import PUBLIC, CallerAny, Context, Ctx, NotSignedInError
from api.passwords import PASSWORD_LENGTH_MAX
from api.rest.model import Email, Input
from core.log import get_logger

log = get_logger("api")
router = APIRouter(prefix="/api/v1/session", tags=["session"])


class SignIn(Input):
    email: Email
    password: Annotated[str, Field(min_length=1, max_length=PASSWORD_LENGTH_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    token: str
    role: Role
    expires_at: datetime


@router.post("", dependencies=[PUBLIC])
def sign_in(body: SignIn, request: Request, context: Ctx) -> SignedIn:
    """Give a token for the Authorization header: `Bearer <token>`."""
    account, session = sign_in_with_password(
        context, email=body.email, password=body.password, address=address_of(request)
    )
    return SignedIn(token=session.token, role=account.role, expires_at=session.expires_at)


@router.delete("", status_code=204)
def sign_out(_person: CallerAny, request: Request, context: Ctx) -> None:
    """End the session of the token that is used here."""
    _, _, token = request.headers["authorization"].partition(" ")
    with context.pool.connection() as connection:
        accounts.end_session(connection, token.strip())


def sign_in_with_password(
    context: Context, *, email: str, password: str, address: str
) -> tuple[Account, Session]:
    """Check a password and begin a session.

    Raises
    ------
    NotSignedInError
        If the address or the password is wrong, or the account is closed; which, is not told.
    ThrottledError
        After ten attempts within a minute for this account or from this address.
    """
    now = context.clock()
    keys = (f"account:{email.lower()}", f"address:{address}")
    context.throttle.check(*keys, now=now)
    with context.pool.connection() as connection:
        account = accounts.account_by_email(connection, email)
    known = account if account and account.disabled_at is None else None
    # The hash is computed with no connection held, also for an address that nobody has.
    if (
        not context.passwords.is_right(password, known.password_hash if known else None)
        or not known
    ):
        log.warning("sign_in.refused", address=address)
        raise NotSignedInError("the e-mail address or the password is wrong", hint="try again")
    for key in keys:
        context.throttle.forget(key)
    with context.pool.connection() as connection:
        return known, accounts.begin_session(connection, known.id, now=now)


def address_of(request: Request) -> str:
    """Return the peer's address; a header such as X-Forwarded-For is never believed."""
    return request.client.host if request.client else "unknown"
