"""Signed links to one ticket, good without a login: `{base_url}/t/{token}`.

A token names a ticket and nothing else; what it lets people do is decided where it is used.
"""

from itsdangerous import BadData, URLSafeTimedSerializer

from core.errors import NotFoundError

_SALT = "maintenance.ticket-link"
_TOKEN_LENGTH_MAX = 200
AGE_MAX_S = 90 * 24 * 3600


def sign_link(key: bytes, *, ticket_id: int) -> str:
    """Return the token for a ticket, URL-safe."""
    token = _serializer(key).dumps(ticket_id)
    return token if isinstance(token, str) else token.decode()


def read_link(key: bytes, *, token: str) -> int:
    """Return the ticket that a token names.

    Raises
    ------
    NotFoundError
        If the token is not ours, was changed, or is older than 90 days.
    """
    if len(token) > _TOKEN_LENGTH_MAX:
        raise _unknown()
    try:
        ticket_id = _serializer(key).loads(token, max_age=AGE_MAX_S)
    except BadData as error:
        raise _unknown() from error
    if type(ticket_id) is not int:
        raise _unknown()
    return ticket_id


def link_url(base_url: str, token: str) -> str:
    return f"{base_url}/t/{token}"


def _serializer(key: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=_SALT)


def _unknown() -> NotFoundError:
    return NotFoundError(
        "this link is not valid (any more)",
        hint="open the newest message about your device, or sign in",
    )
