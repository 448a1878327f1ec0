"""An owner takes a device: what the page and the interface have in common."""

from datetime import datetime

from api import accounts, store
from api.accounts import Person, Session
from api.auth import Context
from core.errors import ConflictError
from core.log import get_logger
from gateway.claims import service as claims
from gateway.claims.service import ClaimCode, Claimed
from gateway.records import OwnerDraft, SiteDraft
from maintenance import service as maintenance

log = get_logger("api")


def look_up(context: Context, code: str, *, address: str) -> ClaimCode:
    """Say which device a code is for. Ten attempts a minute from one address.

    Raises
    ------
    InvalidError, NotFoundError, ConflictError, ThrottledError
    """
    context.throttle.check(f"claim:{address}", now=context.clock())
    return claims.look_up(context.pool, code=code)


def claim(
    context: Context, person: Person, *, code: str, site: SiteDraft | None, address: str
) -> Claimed:
    """Give the device with this code to the owner who is signed in."""
    now = context.clock()
    assert person.owner_id is not None
    context.throttle.check(f"claim:{address}", f"claim:{person.actor}", now=now)
    with context.pool.connection() as connection:
        done = claims.claim(
            connection,
            code=code,
            owner_id=person.owner_id,
            site=site,
            actor=person.actor,
            now=now,
        )
    call_off_visits(context, done, now=now)
    return done


def register(  # noqa: PLR0913 - who, with what, which device, from where
    context: Context,
    *,
    owner: OwnerDraft,
    password: str,
    code: str,
    site: SiteDraft | None,
    address: str,
) -> tuple[Claimed, Session]:
    """Give somebody an account and the device with this code: both or neither.

    An address that belongs to an owner already is refused, although nobody may have an account for it:
    who types it here need not be that person, and would see that person's devices.
    """
    look_up(context, code, address=address)
    password_hash = context.passwords.hash(password)  # with no connection held
    now = context.clock()
    with context.pool.connection() as connection:
        owner_id = claims.new_owner(connection, owner)
        is_added = accounts.add_account(
            connection,
            email=owner.email,
            password_hash=password_hash,
            role="owner",
            now=now,
            owner_id=owner_id,
        )
        account = accounts.account_by_email(connection, owner.email)
        if not is_added or account is None:
            raise ConflictError("this e-mail address is known here", hint="sign in with it")
        done = claims.claim(
            connection, code=code, owner_id=owner_id, site=site, actor=f"owner:{owner_id}", now=now
        )
        session = accounts.begin_session(connection, account.id, now=now)
    call_off_visits(context, done, now=now)
    return done, session


def call_off_visits(context: Context, done: Claimed, *, now: datetime) -> None:
    """Cancel the visits to which the former owner had agreed; the new one chooses anew.

    A crash before the end leaves one booked, which the new owner sees and can cancel.
    """
    if not done.was_owned:
        return
    with context.pool.connection() as connection:
        tickets = store.booked_visits(connection, done.device)
    for ticket_id in tickets:
        try:
            maintenance.cancel_appointment(
                context.pool,
                ticket_id=ticket_id,
                by="forecare",
                now=now,
                reason="the device has a new owner",
            )
        except ConflictError as error:
            log.info("claim.visit_stays", ticket=ticket_id, reason=str(error))
