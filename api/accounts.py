"""Who has an account and who is signed in: the only writer of api.account and api.session."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from psycopg.rows import class_row

from core.pool import Connection
from core.sql import Queries

Role = Literal["owner", "technician", "manufacturer"]
ROLES: tuple[Role, ...] = ("owner", "technician", "manufacturer")

SESSION_FOR = timedelta(days=7)
_ACCOUNTS_MAX = 10_000
_queries = Queries("api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    id: int
    email: str
    password_hash: str
    role: Role
    owner_id: int | None
    technician_id: int | None
    disabled_at: datetime | None

    @property
    def fingerprint(self) -> str:
        """Changes with the password; a link that carries an older one is void."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is signed in, and what the person may see."""

    account_id: int
    email: str
    role: Role
    owner_id: int | None
    technician_id: int | None
    csrf_token: str

    @property
    def actor(self) -> str:
        """The person's name in histories."""
        match self.role:
            case "owner":
                return f"owner:{self.owner_id}"
            case "technician":
                return f"technician:{self.technician_id}"
            case _:
                return f"manufacturer:{self.account_id}"

    @property
    def scope(self) -> dict[str, int | None]:
        """Parameters with which every query narrows its rows to what this person may see."""
        return {"owner_id": self.owner_id, "technician_id": self.technician_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    token: str
    """Lives in the browser or the caller alone; the database keeps its hash."""
    expires_at: datetime


def add_account(  # noqa: PLR0913 - the columns of an account
    connection: Connection,
    *,
    email: str,
    password_hash: str,
    role: Role,
    now: datetime,
    owner_id: int | None = None,
    technician_id: int | None = None,
) -> bool:
    """Add an account; False when the address has one already."""
    row = connection.execute(
        _queries["add_account"],
        {
            "email": email,
            "password_hash": password_hash,
            "role": role,
            "owner_id": owner_id,
            "technician_id": technician_id,
            "now": now,
        },
    ).fetchone()
    return row is not None


def account_by_email(connection: Connection, email: str) -> Account | None:
    return _account(connection, "account_by_email", {"email": email})


def account_by_id(connection: Connection, account_id: int) -> Account | None:
    return _account(connection, "account_by_id", {"account_id": account_id})


def all_accounts(connection: Connection) -> list[Account]:
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(_queries["accounts"], {"limit": _ACCOUNTS_MAX}).fetchall()


def known_emails(connection: Connection, emails: list[str]) -> set[str]:
    rows = connection.execute(_queries["known_emails"], {"emails": emails}).fetchall()
    return {row[0] for row in rows}


def owner_ids(connection: Connection, emails: list[str]) -> Mapping[str, int]:
    return dict(connection.execute(_queries["owner_ids"], {"emails": emails}).fetchall())


def technician_ids(connection: Connection, emails: list[str]) -> Mapping[str, int]:
    return dict(connection.execute(_queries["technician_ids"], {"emails": emails}).fetchall())


def disable_account(connection: Connection, email: str, *, now: datetime) -> bool:
    """Close an account and end its sessions; False when there is none that is open."""
    row = connection.execute(_queries["disable_account"], {"email": email, "now": now}).fetchone()
    if row is None:
        return False
    connection.execute(_queries["end_sessions_of"], {"account_id": row[0]})
    return True


def change_password(connection: Connection, email: str, *, password_hash: str) -> bool:
    """Set a new password, open the account again and end its sessions."""
    row = connection.execute(
        _queries["change_password"], {"email": email, "password_hash": password_hash}
    ).fetchone()
    if row is None:
        return False
    connection.execute(_queries["end_sessions_of"], {"account_id": row[0]})
    return True


def begin_session(connection: Connection, account_id: int, *, now: datetime) -> Session:
    """Sign an account in under a new token; one that was set before never comes back to life."""
    session = Session(token=secrets.token_urlsafe(32), expires_at=now + SESSION_FOR)
    connection.execute(_queries["end_old_sessions"], {"now": now})
    connection.execute(
        _queries["add_session"],
        {
            "token_hash": _hash(session.token),
            "account_id": account_id,
            "csrf_token": secrets.token_urlsafe(32),
            "now": now,
            "expires_at": session.expires_at,
        },
    )
    return session


def person_of(connection: Connection, token: str, *, now: datetime) -> Person | None:
    with connection.cursor(row_factory=class_row(Person)) as cursor:
        parameters = {"token_hash": _hash(token), "now": now}
        return cursor.execute(_queries["session"], parameters).fetchone()


def end_session(connection: Connection, token: str) -> None:
    connection.execute(_queries["end_session"], {"token_hash": _hash(token)})


def is_same_token(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _account(
    connection: Connection, query: str, parameters: Mapping[str, object]
) -> Account | None:
    with connection.cursor(row_factory=class_row(Account)) as cursor:
        return cursor.execute(_queries[query], parameters).fetchone()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
