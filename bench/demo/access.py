"""The accounts of the demo and one link per kind of person that signs in."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from api import accounts
from api.accounts import Account, Role
from api.entry import sign_entry
from api.passwords import Passwords
from core.clock import wall_now
from core.endpoints import database_url
from core.pool import Connection, connect
from core.settings import Settings
from core.sql import Queries

queries = Queries("bench")

_MANUFACTURER = "manufacturer@forecare.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the simulator, as the manufacturer, enrols its fleet."""

    email: str
    password: str


def ensure_access(settings: Settings) -> Access:
    """Return the manufacturer's account, made at the first start with a random password.

    It stands in `demo_login.json` in the runtime folder, where `forecare simulate` finds it, too.
    """
    password = _password(settings.runtime_path / "demo_login.json")
    hasher = Passwords()
    with connect(database_url(settings), name="demo access") as connection:
        account = accounts.account_by_email(connection, _MANUFACTURER)
        if account is None:
            accounts.add_account(
                connection,
                email=_MANUFACTURER,
                password_hash=hasher.hash(password),
                role="manufacturer",
                now=wall_now(),
            )
        elif not hasher.is_right(password, account.password_hash):
            accounts.change_password(connection, _MANUFACTURER, password_hash=hasher.hash(password))
    return Access(email=_MANUFACTURER, password=password)


def person_links(settings: Settings) -> list[tuple[str, str]]:
    """Return (kind of person, link) for the manufacturer and, once there are some, for a technician
    with work and an owner with a ticket."""
    with connect(database_url(settings), name="demo access") as connection:
        people: list[tuple[Role, Account | None]] = [
            ("manufacturer", accounts.account_by_email(connection, _MANUFACTURER)),
            ("technician", _somebody(connection, "technician")),
            ("owner", _somebody(connection, "owner")),
        ]
    return [
        (role, f"{settings.base_url}/enter/{sign_entry(settings.key, account, now=wall_now())}")
        for role, account in people
        if account is not None
    ]


def _somebody(connection: Connection, role: Role) -> Account | None:
    """Return the account of the technician or owner with the newest ticket; make it if need be."""
    row = connection.execute(queries[f"newest_{role}"]).fetchone()
    if row is None:
        return None
    person_id, email = row
    if accounts.account_by_email(connection, email) is None:
        accounts.add_account(
            connection,
            email=email,
            password_hash=Passwords().hash(secrets.token_urlsafe(16)),
            role=role,
            now=wall_now(),
            owner_id=person_id if role == "owner" else None,
            technician_id=person_id if role == "technician" else None,
        )
    return accounts.account_by_email(connection, email)


def _password(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump({"email": _MANUFACTURER, "password": secrets.token_urlsafe(18)}, stream)
    password: str = json.loads(file.read_text(encoding="utf-8"))["password"]
    return password
