"""Writes what Mosquitto reads: its configuration, its access list and its password file.

A device's user name, client id and name are one and the same, forced by `use_username_as_clientid`:
nobody can push another device off by taking its client id. Our own processes live by the same rule
with user names that no device can have (a device name has no dot).
"""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core.endpoints import broker_dir, runtime_paths, service_password
from core.log import get_logger
from core.pool import Pool
from core.runtime import service as runtime
from core.runtime.errors import NotRunningError
from core.runtime.service import BrokerPorts
from core.settings import Settings, load_settings
from gateway import store
from gateway.passwords import hash_password
from gateway.records import BrokerUser
from gateway.sparkplug.messages import DEVICE_KINDS, FILTERS, NODE_KINDS
from gateway.topics import DEVICE_READS, DEVICE_WRITES, INGEST_WRITES

log = get_logger("gateway")

GATEWAY_USER = "forecare.gateway"
SPARKPLUG_USER = "forecare.sparkplug"
INGEST_PARTS_MAX = 16
"""Ingest processes that the broker has a user for."""
_PACKET_MAX = 70_000
"""A payload of 65,536 bytes with topic and properties. Beyond it the broker closes the connection
(MQTT 5: reason 0x95); a payload a little too large still reaches ingest and becomes a dead letter."""

SERVER_CERTIFICATE = "server.crt"
SERVER_KEY = "server.key"
TRUSTED = "ca.crt"
REVOKED = "devices.crl"
_CONFIG = "mosquitto.conf"
_ACL = "acl"
_PASSWORDS = "passwords"
_OWN = ".own"
"""Ending of the files beside the access list and the password file whose lines are taken over into
them: users of the operator's own, a bridge for instance. Their names have a dot, as no device's has."""


def ingest_user(part: int) -> str:
    """Return the broker user of one ingest process, by its place among them."""
    return f"forecare.ingest.{part}"


def service_users() -> tuple[str, ...]:
    parts = (ingest_user(part) for part in range(INGEST_PARTS_MAX))
    return (GATEWAY_USER, SPARKPLUG_USER, *parts)


def write_broker_files(
    directory: Path,
    ports: BrokerPorts,
    *,
    host: str = "127.0.0.1",
    run_as: str = "",
    data: Path | None = None,
) -> None:
    """Write everything the broker needs to start, without a database.

    Devices that are in the password file already stay in it; `sync_broker` brings it up to date.

    Parameters
    ----------
    directory : Path
        Where to write.
    ports : BrokerPorts
        Those of TLS count only if the broker's certificate lies in the folder (`forecare ca server`).
    host : str
        Address to listen on.
    run_as : str
        User that a broker started as root steps down to. It must be able to read these files after
        that too, when it is told to read them again.
    data : Path, optional
        Where the broker keeps its sessions and queues, by default beside these files.
    """
    settings = load_settings()
    directory.mkdir(parents=True, exist_ok=True)
    text = configuration(directory, port=ports.mqtt, host=host, run_as=run_as, data=data)
    if (directory / SERVER_CERTIFICATE).exists():
        text += tls_listeners(directory, ports=ports, host=host)
    _replace(directory / _CONFIG, text)
    _replace(directory / _ACL, access_list() + _own_text(directory / _ACL))
    devices = [line for line in _lines(directory / _PASSWORDS) if not _is_service(line)]
    _replace(
        directory / _PASSWORDS,
        _password_file(settings, devices) + _own_text(directory / _PASSWORDS),
    )


def let_user_in(directory: Path, user: BrokerUser, *, topics: Sequence[str]) -> None:
    """Give a user of the operator's own access; it lasts, and counts from the next `sync_broker` on.

    Parameters
    ----------
    directory : Path
        The broker's folder.
    user : BrokerUser
        Its name has a dot, so that it can be no device's.
    topics : sequence of str
        Lines of an access list without their first word: `read fc/+/+/telemetry`.
    """
    assert "." in user.name
    rights = "".join(f"topic {topic}\n" for topic in topics)
    for name, text in ((_ACL, f"\nuser {user.name}\n{rights}"), (_PASSWORDS, f"{_line(user)}\n")):
        _replace(directory / f"{name}{_OWN}", _own_text(directory / name) + text)


def sync_broker(pool: Pool, settings: Settings) -> bool:
    """Bring the password file up to date with the registry and let the broker read it again.

    Sessions of devices that still may connect stay; the broker drops the others at once.

    Returns
    -------
    bool
        Whether the embedded broker was told. False: there is none, or it runs elsewhere, and
        somebody has to send it a SIGHUP.
    """
    with pool.connection() as connection:
        users = store.broker_users(connection)
    directory = broker_dir(settings)
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / _ACL, access_list() + _own_text(directory / _ACL))
    _replace(
        directory / _PASSWORDS,
        _password_file(settings, map(_line, users)) + _own_text(directory / _PASSWORDS),
    )
    return reload_broker(settings)


def reload_broker(settings: Settings) -> bool:
    """Let the embedded broker read its files again; False if there is none to tell."""
    if settings.broker_dir and Path(settings.broker_dir) != runtime_paths(settings).broker:
        return False
    try:
        runtime.reload_broker(runtime_paths(settings))
    except (NotRunningError, FileNotFoundError):
        return False
    return True


def configuration(
    directory: Path, *, port: int, host: str, run_as: str = "", data: Path | None = None
) -> str:
    """Return mosquitto.conf for Mosquitto 2.0.2x. Pure."""
    user = f"user {run_as}\n" if run_as else ""
    return f"""\
# Written by `forecare broker write`; changes by hand are lost.

# Sessions and queues survive a restart. Between two saves a crash loses what was acknowledged:
# that is why devices wait for `stored` and not for the broker's PUBACK.
persistence true
persistence_location {data or directory}/
autosave_interval 1
# No persistent_client_expiration: with it every offline session stands in a list from which
# Mosquitto 2.0 can expire a connected client (docs/decisions/0006).

# A full queue drops silently, so it is large, and never unlimited.
max_queued_messages 500000
max_queued_bytes 268435456
max_inflight_messages 100
queue_qos0_messages false

# What a device may send. MQTT 5 clients are told the limit when they connect.
max_packet_size {_PACKET_MAX}
max_keepalive 300

# State lives in the database; nothing is left behind by devices that are gone.
retain_available false
set_tcp_nodelay true
sys_interval 10
allow_anonymous false
allow_zero_length_clientid false
password_file {directory}/{_PASSWORDS}
acl_file {directory}/{_ACL}

log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
log_type error
log_type warning
log_type notice
connection_messages false
{user}
listener {port} {host}
# Else a device with its own password could take another one's client id and push it off.
use_username_as_clientid true
"""


def tls_listeners(directory: Path, *, ports: BrokerPorts, host: str) -> str:
    """Return the listeners for devices on foreign nets, one by certificate, one by password. Pure.

    Two of them, since Mosquitto takes the user name of a listener either from the certificate or from
    the password file. The access list is the same for all.
    """
    text = ""
    if ports.mqtts is not None:
        text += f"""
# The name in the client's certificate is its user name, client id and device name.
listener {ports.mqtts} {host}
certfile {directory}/{SERVER_CERTIFICATE}
keyfile {directory}/{SERVER_KEY}
cafile {directory}/{TRUSTED}
crlfile {directory}/{REVOKED}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
tls_version tlsv1.2
"""
    if ports.mqtt_tls is not None:
        text += f"""
# User name and password, over TLS.
listener {ports.mqtt_tls} {host}
certfile {directory}/{SERVER_CERTIFICATE}
keyfile {directory}/{SERVER_KEY}
use_username_as_clientid true
tls_version tlsv1.2
"""
    return text


def place_certificates(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put what the authority made beside the broker's other files, for its account alone."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _replace(directory / name, content.decode("ascii"))


def access_list() -> str:
    """Return the access list. Pure.

    A pattern holds for everybody, with their own name in place of %u, so our own processes may
    write telemetry in their own name too: that is the heartbeat with which ingest tests that it hears.
    """
    lines = ["# Written by `forecare broker write`; changes by hand are lost.", ""]
    lines += [f"pattern write fc/+/%u/{kind}" for kind in DEVICE_WRITES]
    lines += [f"pattern read fc/+/%u/{kind}" for kind in DEVICE_READS]
    # The edge node of Sparkplug is the credential; its devices stand behind it.
    lines += [f"pattern write spBv1.0/+/{kind}/%u" for kind in NODE_KINDS]
    lines += [f"pattern write spBv1.0/+/{kind}/%u/+" for kind in DEVICE_KINDS]
    lines += ["pattern read spBv1.0/+/NCMD/%u", "pattern read spBv1.0/+/DCMD/%u/+"]
    lines += [
        "",
        f"user {GATEWAY_USER}",
        *(f"topic read fc/+/+/{kind}" for kind in DEVICE_WRITES if kind != "telemetry"),
        "topic read $SYS/broker/publish/messages/dropped",
        *(f"topic write fc/+/+/{kind}" for kind in DEVICE_READS if kind not in INGEST_WRITES),
    ]
    lines += [
        "",
        f"user {SPARKPLUG_USER}",
        *(f"topic read {pattern}" for pattern in FILTERS),
        "topic write spBv1.0/+/NCMD/+",
        "topic write fc/+/+/birth",
        "topic write fc/+/+/will",
    ]
    for part in range(INGEST_PARTS_MAX):
        lines += [
            "",
            f"user {ingest_user(part)}",
            "topic read fc/+/+/telemetry",
            *(f"topic write fc/+/+/{kind}" for kind in INGEST_WRITES),
        ]
    return "\n".join(lines) + "\n"


def _password_file(settings: Settings, devices: Iterable[str]) -> str:
    services = (
        BrokerUser(name=name, password_hash=hash_password(service_password(settings, name)))
        for name in service_users()
    )
    return "".join(f"{line}\n" for line in (*map(_line, services), *devices))


def _line(user: BrokerUser) -> str:
    return f"{user.name}:{user.password_hash}"


def _is_service(line: str) -> bool:
    return "." in line.partition(":")[0]


def _lines(file: Path) -> Sequence[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()


def _own_text(file: Path) -> str:
    return "".join(f"{line}\n" for line in _lines(file.with_name(f"{file.name}{_OWN}")))


def _replace(file: Path, text: str) -> None:
    """Put a file in place at once: the broker sees the old one or the new one, never a half.

    It belongs to the folder's owner, who is the broker's account, and to nobody else.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
        folder = file.parent.stat()
        if os.geteuid() == 0 and folder.st_uid != 0:
            os.fchown(stream.fileno(), folder.st_uid, folder.st_gid)
        if folder.st_mode & stat.S_ISGID:
            os.fchmod(stream.fileno(), 0o660)
    draft.replace(file)
