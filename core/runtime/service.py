"""The embedded servers as others use them: install, up, down, status, endpoints.

Every call may be repeated. Commands on one instance wait for each other; `endpoints` and `status`
never wait.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.runtime.account import Account, can_enter
from core.runtime.disk import MEGABYTE, disk_trouble_explained, require_space
from core.runtime.errors import NotRunningError, ServerStartError, WrongOwnerError
from core.runtime.logs import set_aside
from core.runtime.mosquitto import BrokerFiles, BrokerPorts, Mosquitto
from core.runtime.paths import RuntimePaths, claim_fallback, make_folder
from core.runtime.ports import LOOPBACK, PortWish, asked_port, choose_port
from core.runtime.postgres import Postgres, database_url, with_password
from core.runtime.progress import SILENT, Progress
from core.runtime.software import Stamp, install_software, installed
from core.runtime.state import State, load_state, locked, save_state, wrong_owner
from core.settings import load_settings

__all__ = [
    "BrokerFiles",
    "BrokerPorts",
    "Endpoints",
    "RuntimePaths",
    "RuntimeStatus",
    "ServerStatus",
    "down",
    "endpoints",
    "first_contact_port",
    "install",
    "reload_broker",
    "restart_broker",
    "restart_postgres",
    "status",
    "up",
]

_DATABASE_BYTES = 200 * MEGABYTE  # an empty one with its first log files, and some room
_PORT_TRIES = 3  # somebody may take the port between the look and the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the running servers are."""

    database_url: str
    mqtt_url: str
    broker_dir: Path
    mosquitto_pid: int | None
    postgres_pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    pid: int | None
    port: int | None

    @property
    def is_running(self) -> bool:
        return self.pid is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStatus:
    """What is there: software, servers, places."""

    root: Path
    relocated_from: Path | None
    account: str
    installed: Stamp | None
    postgres: ServerStatus
    mosquitto: ServerStatus

    @property
    def is_up(self) -> bool:
        return self.postgres.is_running and self.mosquitto.is_running

    @property
    def is_any_running(self) -> bool:
        return self.postgres.is_running or self.mosquitto.is_running


def install(paths: RuntimePaths, *, progress: Progress = SILENT, again: bool = False) -> Stamp:
    """Download and unpack the servers, unless they are there.

    Parameters
    ----------
    again : bool
        Unpack anew even if everything seems to be there.

    Raises
    ------
    DiskFullError, NoNetworkError, NoMirrorError, NoPackageToolsError, BrokenInstallError
    """
    claim_fallback(paths)
    stamp = install_software(paths.software, progress=progress, again=again)
    if paths.relocated_from is not None:
        progress.note(
            f"the servers live in {paths.root}: their account cannot enter {paths.relocated_from}"
        )
    return stamp


def up(paths: RuntimePaths, *, broker_files: BrokerFiles, progress: Progress = SILENT) -> Endpoints:
    """Start whatever is not running, installing and creating it first where needed.

    Parameters
    ----------
    broker_files : callable(Path, BrokerPorts)
        Writes `mosquitto.conf` and what it refers to into the given folder, for the given ports.
        Called only when the broker has to be started.

    Raises
    ------
    PortTakenError
        If a port that was asked for is held by somebody else.
    ServerStartError
        If a server refuses to start.
    """
    paths.account()  # without one, nothing below is worth its download
    if installed(paths.software) is None:
        down(paths, progress=progress)  # a moved folder: what runs looks for its files elsewhere
    stamp = install(paths, progress=progress)
    account = _usable_account(paths)
    with disk_trouble_explained(paths.root, purpose="starting the servers"):
        _make_folders(paths, account)
        return _up_locked(paths, account, stamp=stamp, broker_files=broker_files, progress=progress)


def _up_locked(
    paths: RuntimePaths,
    account: Account,
    *,
    stamp: Stamp,
    broker_files: BrokerFiles,
    progress: Progress,
) -> Endpoints:
    with _locked(paths, progress):
        _start_postgres(paths, account, stamp=stamp, progress=progress)
        state = _start_mosquitto(paths, account, broker_files=broker_files, progress=progress)
        _note_ports_elsewhere(paths, progress)
    return _endpoints(paths, account, state)


def down(paths: RuntimePaths, *, progress: Progress = SILENT) -> None:
    """Stop both servers; what is not running is fine."""
    if not paths.root.is_dir():
        return
    account = paths.account()
    _require_rights(paths, account)
    with _locked(paths, progress):
        Mosquitto(paths=paths, account=account).stop()
        if paths.data.is_dir():
            with progress.task("stopping PostgreSQL"):
                Postgres(paths=paths, account=account).stop()


def endpoints(paths: RuntimePaths) -> Endpoints | None:
    """Return where the servers are, or None unless both of them run (then `up` mends it)."""
    if not paths.state.exists():
        return None
    found = _endpoints(paths, paths.account(), load_state(paths.state))
    return found if found.postgres_pid and found.mosquitto_pid else None


def status(paths: RuntimePaths) -> RuntimeStatus:
    """Look at everything, change nothing."""
    account = paths.account()
    state = load_state(paths.state)
    postgres = Postgres(paths=paths, account=account)
    mosquitto = Mosquitto(paths=paths, account=account)
    return RuntimeStatus(
        root=paths.root,
        relocated_from=paths.relocated_from,
        account=account.name,
        installed=installed(paths.software),
        postgres=ServerStatus(pid=postgres.pid(), port=state.postgres_port),
        mosquitto=ServerStatus(pid=mosquitto.pid(), port=state.mqtt_port),
    )


def reload_broker(paths: RuntimePaths) -> None:
    """Let the broker read its password and access files again (SIGHUP); sessions stay."""
    Mosquitto(paths=paths, account=paths.account()).reload()


def restart_broker(
    paths: RuntimePaths,
    *,
    progress: Progress = SILENT,
    broker_files: BrokerFiles | None = None,
) -> None:
    """Stop and start the broker with the files that lie in its folder, or with new ones."""
    state = load_state(paths.state)
    account = paths.account()
    mosquitto = Mosquitto(paths=paths, account=account)
    if state.mqtt_port is None or not mosquitto.config.exists():
        raise NotRunningError("the broker was never started", hint="forecare runtime up")
    with _locked(paths, progress):
        mosquitto.stop()
        if broker_files is not None:
            _start_mosquitto(paths, account, broker_files=broker_files, progress=progress)
        elif not mosquitto.start(port=state.mqtt_port):
            raise ServerStartError(
                f"port {state.mqtt_port} was taken while the broker restarted",
                hint="forecare runtime up chooses another",
            )


def restart_postgres(paths: RuntimePaths, *, progress: Progress = SILENT) -> None:
    """Stop and start PostgreSQL on its port; connections are cut."""
    state = load_state(paths.state)
    postgres = Postgres(paths=paths, account=paths.account())
    if state.postgres_port is None or not postgres.exists():
        raise NotRunningError("PostgreSQL was never started", hint="forecare runtime up")
    with _locked(paths, progress):
        postgres.stop()
        if not postgres.start(port=state.postgres_port):
            raise ServerStartError(
                f"port {state.postgres_port} was taken while PostgreSQL restarted",
                hint="forecare runtime up chooses another",
            )


def first_contact_port(paths: RuntimePaths) -> int:
    """Return the port of this instance's first contacts: chosen once, and again when it is taken."""
    with locked(paths.lock, purpose="choosing a port", progress=SILENT):
        state = load_state(paths.state)
        others = {state.postgres_port, state.mqtt_port, state.mqtts_port, state.mqtt_tls_port}
        choice = choose_port(
            PortWish(
                server="the first-contact door",
                seed=f"first contact{paths.root}",
                remembered=state.provision_port,
                avoid=frozenset(port for port in others if port is not None),
            )
        )
        if choice.port != state.provision_port:
            _remember(paths, replace(state, provision_port=choice.port))
        return choice.port


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """A server that listens: its name, the setting that fixes its port, the field that keeps it."""

    name: str
    setting: str
    field: str


_POSTGRES = _Listener(name="PostgreSQL", setting="pg_port", field="postgres_port")
_MOSQUITTO = _Listener(name="Mosquitto", setting="mqtt_port", field="mqtt_port")
_MQTTS = _Listener(name="Mosquitto with certificates", setting="mqtts_port", field="mqtts_port")
_MQTT_TLS = _Listener(name="Mosquitto with TLS", setting="mqtt_tls_port", field="mqtt_tls_port")
_ALL = (_POSTGRES, _MOSQUITTO, _MQTTS, _MQTT_TLS)


def _start_postgres(
    paths: RuntimePaths, account: Account, *, stamp: Stamp, progress: Progress
) -> State:
    postgres = Postgres(paths=paths, account=account)
    state = load_state(paths.state)
    if not (state.password and state.postgres_port):
        postgres.stop()  # one that nobody can talk to any more
    if postgres.pid() is None:
        _ready_data(postgres, state, progress=progress)
        state = _start_on_ports(
            paths, [_POSTGRES], lambda ports: postgres.start(port=ports[0]), progress=progress
        )
    extension = stamp.versions().get("TimescaleDB", "")
    if state.extension_version != extension:
        assert state.postgres_port is not None
        with progress.task("preparing the database"):
            postgres.prepare_database(port=state.postgres_port, password=state.password)
        state = _remember(paths, replace(state, extension_version=extension))
    return state


def _ready_data(postgres: Postgres, state: State, *, progress: Progress) -> None:
    """Make the data folder fit to be started: created, of our version, with a known password."""
    paths = postgres.paths
    if not postgres.exists():
        require_space(paths.root, needed=_DATABASE_BYTES, purpose="creating the database")
        state = _remember(paths, with_password(replace(state, extension_version="")))
        with progress.task("creating the database"):
            postgres.create(password=state.password)
        return
    postgres.require_same_version()
    postgres.clear_leftovers(progress=progress)
    if not state.password:
        state = with_password(state)
        postgres.set_password(state.password)
        _remember(paths, state)
        progress.note(f"{paths.state} was lost: the database has a new password and its old data")


def _start_mosquitto(
    paths: RuntimePaths, account: Account, *, broker_files: BrokerFiles, progress: Progress
) -> State:
    mosquitto = Mosquitto(paths=paths, account=account)
    state = load_state(paths.state)
    if mosquitto.pid() is not None and state.mqtt_port is not None:
        return state
    mosquitto.stop()  # one whose port nobody remembers

    def start(ports: Sequence[int]) -> bool:
        mqtt, mqtts, mqtt_tls = ports
        broker_files(paths.broker, BrokerPorts(mqtt=mqtt, mqtts=mqtts, mqtt_tls=mqtt_tls))
        return mosquitto.start(port=mqtt)

    return _start_on_ports(paths, [_MOSQUITTO, _MQTTS, _MQTT_TLS], start, progress=progress)


def _start_on_ports(
    paths: RuntimePaths,
    listeners: Sequence[_Listener],
    start: Callable[[Sequence[int]], bool],
    *,
    progress: Progress,
) -> State:
    """Choose ports, remember them, start; again with other ones if somebody was quicker."""
    name = listeners[0].name
    for _ in range(_PORT_TRIES):
        for listener in listeners:
            choice = choose_port(_wish(paths, listener))
            if choice.moved_because:
                progress.note(choice.moved_because)
            # Before the start: whoever finds the server after a crash of this process knows its port.
            chosen: dict[str, Any] = {listener.field: choice.port}
            _remember(paths, replace(load_state(paths.state), **chosen))
        state = load_state(paths.state)
        with progress.task(f"starting {name}"):
            if start([getattr(state, listener.field) for listener in listeners]):
                return state
    raise ServerStartError(f"{name} found no free port in {_PORT_TRIES} attempts")


def _wish(paths: RuntimePaths, server: _Listener) -> PortWish:
    state = load_state(paths.state)
    remembered = getattr(state, server.field)
    taken = {state.provision_port, *(getattr(state, listener.field) for listener in _ALL)}
    setting = "" if paths.is_isolated else getattr(load_settings(), server.setting)
    return PortWish(
        server=server.name,
        seed=f"{server.name}{paths.root}",
        remembered=remembered,
        asked=asked_port(f"FORECARE_{server.setting.upper()}", setting),
        avoid=frozenset(port for port in taken if port is not None and port != remembered),
    )


def _note_ports_elsewhere(paths: RuntimePaths, progress: Progress) -> None:
    """A server that ran already keeps its port, whatever has been asked for since."""
    for server in _ALL:
        wish = _wish(paths, server)
        if None not in (wish.asked, wish.remembered) and wish.asked != wish.remembered:
            progress.note(
                f"{server.name} runs on port {wish.remembered}; port {wish.asked} counts after"
                " `forecare runtime down`"
            )


def _remember(paths: RuntimePaths, state: State) -> State:
    save_state(paths.state, state)
    return state


def _endpoints(paths: RuntimePaths, account: Account, state: State) -> Endpoints:
    return Endpoints(
        database_url=database_url(state),
        mqtt_url=f"mqtt://{LOOPBACK}:{state.mqtt_port}",
        broker_dir=paths.broker,
        mosquitto_pid=Mosquitto(paths=paths, account=account).pid(),
        postgres_pid=Postgres(paths=paths, account=account).pid(),
    )


def _locked(paths: RuntimePaths, progress: Progress) -> AbstractContextManager[None]:
    return locked(paths.lock, purpose="working on these servers", progress=progress)


def _usable_account(paths: RuntimePaths) -> Account:
    account = paths.account()
    if not can_enter(paths.software, account) or not can_enter(paths.root, account):
        raise WrongOwnerError(
            f"PostgreSQL must run as {account.name} here, who cannot enter {paths.root}",
            hint="choose a place that others may enter with FORECARE_RUNTIME_DIR",
        )
    _require_rights(paths, account)
    return account


def _require_rights(paths: RuntimePaths, account: Account) -> None:
    """An ordinary user may only touch an instance of their own."""
    if os.geteuid() == 0 or not paths.postgres.exists():
        return
    if paths.postgres.stat().st_uid != account.uid:
        raise wrong_owner(paths.postgres)


def _make_folders(paths: RuntimePaths, account: Account) -> None:
    """Create the instance's folders, and mend their owner where root may have spoiled it."""
    try:
        make_folder(paths.root)
        for folder, mode in ((paths.postgres, 0o700), (paths.broker, 0o770), (paths.log, 0o750)):
            folder.mkdir(mode=mode, exist_ok=True)
            if os.geteuid() == 0 and folder.stat().st_uid != account.uid:
                _give_tree(folder, account)
    except PermissionError as error:
        raise wrong_owner(paths.root) from error
    # New files belong to the broker's group whoever writes them.
    paths.broker.chmod(0o2770)
    for log in (paths.postgres_log, paths.mosquitto_log):
        set_aside(log)


def _give_tree(folder: Path, account: Account) -> None:
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = os.path.join(place, name)  # noqa: PTH118  # thousands of files
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
