"""Gives owners and technicians their accounts when they are registered."""

from collections.abc import Mapping

from api import accounts
from api.accounts import Role
from api.auth import Context


def add_missing_accounts(
    context: Context, *, role: Role, ids: Mapping[str, int], passwords: Mapping[str, str]
) -> int:
    """Add an account for every address that has none; an existing one keeps its password.

    A crash in between leaves some without an account; the same call again adds those.

    Parameters
    ----------
    context : Context
    role : "owner" or "technician"
    ids : mapping of address to owner or technician
    passwords : mapping of address to first password

    Returns
    -------
    int
        How many were added.
    """
    with context.pool.connection() as connection:
        known = accounts.known_emails(connection, [email.lower() for email in passwords])
    missing = [email for email in passwords if email.lower() not in known and email in ids]
    hashes = context.passwords.hash_all(passwords[email] for email in missing)
    added = 0
    with context.pool.connection() as connection:
        for email, password_hash in zip(missing, hashes, strict=True):
            added += accounts.add_account(
                connection,
                email=email,
                password_hash=password_hash,
                role=role,
                now=context.clock(),
                owner_id=ids[email] if role == "owner" else None,
                technician_id=ids[email] if role == "technician" else None,
            )
    return added
