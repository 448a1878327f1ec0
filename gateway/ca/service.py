"""What others may ask of the authority, with the broker in mind: a change reaches it before we return."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.clock import pause
from core.endpoints import broker_dir, ca_dir, runtime_paths
from core.log import get_logger
from core.runtime import service as runtime
from core.runtime.errors import NotRunningError
from core.runtime.hooks import broker_files_hook
from core.runtime.state import load_state
from core.settings import Settings
from gateway.broker import TRUSTED, place_certificates, reload_broker
from gateway.ca.folder import FOR_THE_BROKER, CaFolder, Issued, Passphrase
from gateway.ca.takeover import end_session

log = get_logger("gateway")

_RELOAD_S = 3.0
"""Until a broker that looks at its files by itself has seen the new ones (docker-compose.yml: 1 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the broker takes certificates."""

    host: str
    port: int


def open_folder(settings: Settings, *, passphrase: Passphrase) -> CaFolder:
    return CaFolder(ca_dir(settings), passphrase=passphrase)


def restart_with_tls(settings: Settings, folder: CaFolder) -> bool:
    """Give the broker its certificate and the authorities to trust, and start it anew with them.

    Mosquitto reads neither again while it runs. Sessions outlive the restart.

    Returns
    -------
    bool
        False: the embedded broker does not run, or the broker is another one; its operator restarts it.
    """
    _place(settings, folder)
    if not _is_ours(settings):
        return False
    try:
        runtime.restart_broker(runtime_paths(settings), broker_files=broker_files_hook())
    except NotRunningError:
        return False
    return True


def revoke(  # noqa: PLR0913 - which certificates, and where their sessions are
    settings: Settings,
    folder: CaFolder,
    name: str,
    *,
    now: datetime,
    serial: str | None = None,
    keep_newest: bool = False,
    address: Address | None = None,
) -> tuple[Sequence[Issued], bool]:
    """Void certificates of a device and end its session.

    A crash before the end leaves the certificates noted as revoked: the same command with the rest, or
    a restart of the broker, completes it.

    Returns
    -------
    tuple of Issued
    bool
        Whether the broker has been told. False: it has to read its files again (SIGHUP), and the
        session lives until then.
    """
    revoked = folder.revoke(name, now=now, serial=serial, keep_newest=keep_newest)
    _place(settings, folder)
    is_told = reload_broker(settings)
    place = address or tls_address(settings)
    if address is not None and not is_told:
        pause(_RELOAD_S)
    if place is not None and (is_told or address is not None):
        end_session(
            place.host,
            place.port,
            name=name,
            certificate=folder.for_a_moment(name, now=now),
            trusted=folder.root / TRUSTED,
        )
    return revoked, is_told


def tls_address(settings: Settings) -> Address | None:
    """Return where the embedded broker takes certificates, None if it does not run with TLS."""
    if not _is_ours(settings):
        return None
    paths = runtime_paths(settings)
    port = load_state(paths.state).mqtts_port
    has_certificate = all((paths.broker / name).exists() for name in FOR_THE_BROKER)
    return Address(host="127.0.0.1", port=port) if port and has_certificate else None


def _is_ours(settings: Settings) -> bool:
    return not settings.broker_dir or Path(settings.broker_dir) == runtime_paths(settings).broker


def _place(settings: Settings, folder: CaFolder) -> None:
    present = [name for name in FOR_THE_BROKER if (folder.root / name).exists()]
    place_certificates(
        broker_dir(settings), {name: (folder.root / name).read_bytes() for name in present}
    )
