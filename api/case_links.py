"""Links of messages: good without signing in, as long as the device is whose it was."""

from api import store
from api.auth import Context
from maintenance.links import read_link, void_link


def good_ticket(context: Context, token: str) -> int:
    """Return the ticket that a link names.

    Raises
    ------
    NotFoundError
        If it names none, or was made for somebody who has handed the device over since.
    """
    link = read_link(context.settings.key, token=token)
    with context.pool.connection() as connection:
        if not store.is_good_link(connection, link):
            raise void_link()
    return link.ticket_id
