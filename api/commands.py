"""`forecare api run` and `forecare account …`."""

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
import uvicorn

from api import accounts
from api.accounts import ROLES, Account, Role
from api.entry import sign_entry
from api.passwords import Passwords
from core.clock import wall_now
from core.endpoints import database_url
from core.errors import ConflictError, InvalidError, NotFoundError, PermanentError
from core.log import get_logger
from core.pool import connect
from core.settings import Settings, load_settings

log = get_logger("api")

_STOP_WITHIN_S = 3


@click.group()
def api() -> None:
    """The web pages and the REST interface."""


@api.command()
@click.option("--host", help="Address to listen on instead of FORECARE_HTTP_HOST.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port instead of FORECARE_HTTP_PORT.")
def run(host: str | None, port: int | None) -> None:
    """Serve the pages and the REST interface until SIGTERM or Ctrl-C."""
    from api.app import make_app  # noqa: PLC0415 - `forecare account` need not load every stage

    settings = load_settings()
    # The pool tells of every attempt to reach a database that is away; we say it once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    listener = _listen(host or settings.http_host, port or settings.port)
    config = uvicorn.Config(
        make_app(settings),
        log_config=None,
        access_log=False,  # addresses carry the secrets of signed links
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=200,
    )
    log.info("api.started", address=settings.base_url)
    _Server(config).run(sockets=[listener])
    log.info("api.stopped")


class _Server(uvicorn.Server):
    """Ends with code 0 when it is asked to stop, where uvicorn raises the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PermanentError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="another program may use it; choose another with --port or FORECARE_HTTP_PORT=8001",
        ) from error
    return listener


@click.group()
def account() -> None:
    """People who may sign in: owners, technicians, and the manufacturer's own."""


@account.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), default="manufacturer", show_default=True)
@click.option(
    "--password",
    envvar="FORECARE_ACCOUNT_PASSWORD",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for when it is not given.",
)
def add(email: str, role: Role, password: str) -> None:
    """Add an account.

    An owner's or technician's EMAIL must be the one under which the person is registered
    (`forecare device add`, POST /api/v1/technicians).
    """
    settings = load_settings()
    password_hash = Passwords().hash(password)
    with connect(database_url(settings), name="account") as connection:
        owner = accounts.owner_ids(connection, [email]).get(email) if role == "owner" else None
        technician = (
            accounts.technician_ids(connection, [email]).get(email)
            if role == "technician"
            else None
        )
        if role != "manufacturer" and owner is None and technician is None:
            raise InvalidError(
                f"no {role} has the address {email}", hint=f"register the {role} first"
            )
        is_new = accounts.add_account(
            connection,
            email=email,
            password_hash=password_hash,
            role=role,
            now=wall_now(),
            owner_id=owner,
            technician_id=technician,
        )
    if not is_new:
        raise ConflictError(
            f"{email} has an account", hint="`forecare account password` changes its password"
        )
    click.echo(f"{email} may sign in as {role}")


@account.command("list")
def list_accounts() -> None:
    """List all accounts."""
    with connect(database_url(load_settings()), name="account") as connection:
        found = accounts.all_accounts(connection)
    for one in found:
        click.echo(f"{one.role:13} {one.email}{'  (disabled)' if one.disabled_at else ''}")
    if not found:
        click.echo("no accounts yet; `forecare account add EMAIL` adds one")


@account.command("disable")
@click.argument("email")
def disable(email: str) -> None:
    """Close an account and end its sessions at once; `account password` opens it again."""
    with connect(database_url(load_settings()), name="account") as connection:
        if not accounts.disable_account(connection, email, now=wall_now()):
            raise _unknown(email)
    click.echo(f"{email} may not sign in any more")


@account.command("password")
@click.argument("email")
@click.option(
    "--password",
    envvar="FORECARE_ACCOUNT_PASSWORD",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
)
def change_password(email: str, password: str) -> None:
    """Set a new password; all sessions of the account end."""
    password_hash = Passwords().hash(password)
    with connect(database_url(load_settings()), name="account") as connection:
        if not accounts.change_password(connection, email, password_hash=password_hash):
            raise _unknown(email)
    click.echo(f"the password of {email} is changed")


@account.command("link")
@click.argument("email")
def link(email: str) -> None:
    """Print a link that lets this account in with one click, for demonstrations.

    It is valid for seven days, and void once the password changes. Whoever has it is that person.
    """
    settings = load_settings()
    click.echo(entry_url(settings, _account(settings, email)))


def entry_url(settings: Settings, entering: Account) -> str:
    return f"{settings.base_url}/enter/{sign_entry(settings.key, entering, now=wall_now())}"


def _account(settings: Settings, email: str) -> Account:
    with connect(database_url(settings), name="account") as connection:
        found = accounts.account_by_email(connection, email)
    if found is None or found.disabled_at is not None:
        raise _unknown(email)
    return found


def _unknown(email: str) -> NotFoundError:
    return NotFoundError(
        f"{email} has no open account", hint="`forecare account list` shows them all"
    )
