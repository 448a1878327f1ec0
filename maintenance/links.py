"""Signed links to one ticket, good without a login: `{base_url}/t/{token}`.

A token names a ticket and the owner it was made for; what it lets people do is decided where it is used.
"""

from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

from core.errors import NotFoundError

_SALT = "maintenance.ticket-link"
_TOKEN_LENGTH_MAX = 200
AGE_MAX_S = 90 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a token says."""

    ticket_id: int
    owner_id: int | None
    """For whom it was made: after the device has changed hands it is good for that owner alone."""


def sign_link(key: bytes, *, ticket_id: int, owner_id: int | None = None) -> str:
    """Return the token for a ticket, URL-safe."""
    token = _serializer(key).dumps([ticket_id, owner_id])
    return token if isinstance(token, str) else token.decode()


def read_link(key: bytes, *, token: str) -> Link:
    """Return what a token names.

    Raises
    ------
    NotFoundError
        If the token is not ours, was changed, or is older than 90 days.
    """
    if len(token) > _TOKEN_LENGTH_MAX:
        raise void_link()
    try:
        said = _serializer(key).loads(token, max_age=AGE_MAX_S)
    except BadData as error:
        raise void_link() from error
    match said:
        case [int() as ticket_id, int() | None as owner_id]:
            return Link(ticket_id=ticket_id, owner_id=owner_id)
        case int() as ticket_id if (
            type(said) is int
        ):  # of a message from before devices changed hands
            return Link(ticket_id=ticket_id, owner_id=None)
    raise void_link()


def link_url(base_url: str, token: str) -> str:
    return f"{base_url}/t/{token}"


def _serializer(key: bytes) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(key, salt=_SALT)


def void_link() -> NotFoundError:
    """The same answer for every link that is not good, whatever the reason."""
    return NotFoundError(
        "this link is not valid (any more)",
        hint="open the newest message about your device, or sign in",
    )
