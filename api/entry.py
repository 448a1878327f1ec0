"""Signed links that let one account in without its password, for demonstrations: `/enter/{token}`."""

from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from api import accounts
from api.accounts import Account
from api.auth import Context
from core.errors import NotFoundError
from core.secret import derive

VALID_FOR = timedelta(days=7)
_PURPOSE = "api.enter"


def sign_entry(key: bytes, account: Account, *, now: datetime) -> str:
    """Return a token for an account; void after seven days, or when its password changes."""
    until = int((now + VALID_FOR).timestamp())
    token = _serializer(key).dumps([account.id, account.fingerprint, until])
    return token if isinstance(token, str) else token.decode()


def read_entry(context: Context, token: str) -> Account:
    """Return the account that a token lets in.

    Raises
    ------
    NotFoundError
        If the token is not ours, has been changed, is too old, or its account is closed.
    """
    try:
        account_id, fingerprint, until = _serializer(context.settings.key).loads(token)
        expires_at = datetime.fromtimestamp(until, UTC)
    except (BadData, ValueError, TypeError) as error:
        raise _void() from error
    with context.pool.connection() as connection:
        account = accounts.account_by_id(connection, account_id)
    if account is None or account.disabled_at or context.clock() >= expires_at:
        raise _void()
    if not accounts.is_same_token(str(fingerprint), account.fingerprint):
        raise _void()
    return account


def _serializer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(derive(key, _PURPOSE), salt=_PURPOSE)


def _void() -> NotFoundError:
    return NotFoundError("this link is not valid (any more)", hint="ask for a new one, or sign in")
