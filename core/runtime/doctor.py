"""What is wrong with this machine or installation, and how to mend it. Changes nothing."""

import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import ForecareError
from core.runtime.account import can_enter
from core.runtime.disk import MEGABYTE, FreeBytes, free_bytes
from core.runtime.logs import log_tail, recent_errors
from core.runtime.packages import POSTGRES_MAJOR
from core.runtime.paths import RuntimePaths
from core.runtime.ports import holder, is_free
from core.runtime.postgres import Postgres
from core.runtime.processes import is_alive
from core.runtime.service import RuntimeStatus, ServerStatus, status
from core.runtime.software import SPACE_NEEDED_BYTES, installed
from core.runtime.unpack import find_patchelf, has_own_time_zones, verify

_OPEN_FILES_WANTED = 4_096
_RUNNING_SPACE_BYTES = 3_000 * MEGABYTE  # max_wal_size and room for data
_SHARED_MEMORY_BYTES = 60 * MEGABYTE
_STATE_MODE = 0o600
_ERRORS_SHOWN = 3


class Grade(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at; `mend` says what to do unless it is well."""

    grade: Grade
    subject: str
    text: str
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "grade": self.grade.value,
            "subject": self.subject,
            "text": self.text,
            "mend": self.mend,
        }


def examine(paths: RuntimePaths, *, free: FreeBytes = free_bytes) -> list[Finding]:
    """Look at everything; a check that cannot be made is itself a finding."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _tools(is_installed=installed(paths.software) is not None),
        lambda: [_space(paths, free)],
        lambda: [_place(paths)],
        lambda: [_owner(paths)],
        lambda: [_secrecy(paths)],
        _limits,
        lambda: [_user_namespaces()],
        lambda: [_shared_memory(free)],
        lambda: [_software(paths)],
        lambda: [_time_zones(paths)],
        lambda: [_data_version(paths)],
        lambda: _servers(paths),
        lambda: [_pid_file(paths)],
        lambda: _logs(paths),
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except ForecareError as error:
            findings.append(_fail("check", str(error), error.hint))
        except OSError as error:
            findings.append(_fail("check", str(error), "run it as the owner of that file, or root"))
    return findings


def _ok(subject: str, text: str) -> Finding:
    return Finding(grade=Grade.OK, subject=subject, text=text)


def _warn(subject: str, text: str, mend: str) -> Finding:
    return Finding(grade=Grade.WARN, subject=subject, text=text, mend=mend)


def _fail(subject: str, text: str, mend: str) -> Finding:
    return Finding(grade=Grade.FAIL, subject=subject, text=text, mend=mend)


def _tools(*, is_installed: bool) -> list[Finding]:
    """Tools matter for installing; without them an installation that is there goes on."""
    grade = _warn if is_installed else _fail
    mend = "use `docker compose up`, or name servers with FORECARE_DATABASE_URL, FORECARE_MQTT_URL"
    findings = []
    for name in ("apt-get", "dpkg-deb", "tar", "stat"):
        found = shutil.which(name)
        findings.append(_ok(name, found) if found else grade(name, "missing on this machine", mend))
    try:
        findings.append(_ok("patchelf", str(find_patchelf())))
    except ForecareError:
        mend = "install the project with its dependencies: make setup"
        findings.append(grade("patchelf", "missing in the Python environment", mend))
    return findings


def _space(paths: RuntimePaths, free: FreeBytes) -> Finding:
    left = free(paths.root)
    text = f"{left // MEGABYTE} MB free in {paths.root}"
    mend = "free some, or choose another place with FORECARE_RUNTIME_DIR"
    if installed(paths.software) is None and left < SPACE_NEEDED_BYTES:
        return _fail("disk", f"{text}; installing needs {SPACE_NEEDED_BYTES // MEGABYTE} MB", mend)
    if left < _RUNNING_SPACE_BYTES:
        return _warn("disk", f"{text}; the write-ahead log alone may take 2,000 MB", mend)
    return _ok("disk", text)


def _place(paths: RuntimePaths) -> Finding:
    account = paths.account()
    if not can_enter(paths.root, account):
        mend = "open the folders above it for others (chmod o+x), or use FORECARE_RUNTIME_DIR"
        return _fail("place", f"{account.name} cannot enter {paths.root}", mend)
    if paths.relocated_from is not None:
        text = f"{paths.root}, because {account.name} cannot enter {paths.relocated_from}"
        return _warn("place", text, "nothing to mend; FORECARE_RUNTIME_DIR chooses another place")
    return _ok("place", f"{paths.root}, servers run as {account.name}")


def _owner(paths: RuntimePaths) -> Finding:
    account = paths.account()
    wrong = [
        folder
        for folder in (paths.postgres, paths.data, paths.broker, paths.log)
        if folder.exists() and folder.stat().st_uid != account.uid
    ]
    if wrong:
        mend = f"sudo chown -R {account.name} {' '.join(map(str, wrong))} (or `up` as root)"
        return _fail("owner", f"{wrong[0]} does not belong to {account.name}", mend)
    return _ok("owner", f"all folders belong to {account.name}")


def _secrecy(paths: RuntimePaths) -> Finding:
    if not paths.state.exists():
        return _ok("password file", "none yet")
    mode = paths.state.stat().st_mode & 0o777
    if mode != _STATE_MODE:
        return _fail(
            "password file", f"{paths.state} has mode {mode:o}", f"chmod 600 {paths.state}"
        )
    return _ok("password file", f"{paths.state} is readable by its owner alone")


def _limits() -> list[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} now, up to {hard}"
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES_WANTED and os.geteuid() != 0:
        mend = (
            "raise the hard limit (ulimit -Hn, /etc/security/limits.conf, docker --ulimit nofile)"
        )
        return [_warn("open files", f"{text}: the broker takes fewer connections", mend)]
    return [_ok("open files", text)]


def _user_namespaces() -> Finding:
    """Nothing here needs them; whoever isolates the servers further does."""
    try:
        most = int(Path("/proc/sys/user/max_user_namespaces").read_text())
    except (OSError, ValueError):
        most = 0
    allowed = "allowed" if most else "not allowed"
    return _ok("user namespaces", f"{allowed} on this machine (not needed)")


def _shared_memory(free: FreeBytes) -> Finding:
    folder = Path("/dev/shm")  # noqa: S108  # looked at, never written to
    left = free(folder) if folder.is_dir() else 0
    text = f"{left // MEGABYTE} MB free in {folder}"
    if left < _SHARED_MEMORY_BYTES:
        mend = "give the container more: docker run --shm-size=256m"
        return _warn("shared memory", f"{text}: parallel queries may fail", mend)
    return _ok("shared memory", text)


def _software(paths: RuntimePaths) -> Finding:
    stamp = installed(paths.software)
    if stamp is None:
        return _fail("software", f"not installed in {paths.software}", "forecare runtime install")
    verify(paths.software)
    versions = ", ".join(f"{name} {version}" for name, version in stamp.versions().items())
    return _ok("software", f"{versions}; every library is found, none of them the host's")


def _time_zones(paths: RuntimePaths) -> Finding:
    if installed(paths.software) is None:
        return _ok("time zones", "come with the software")
    if has_own_time_zones(paths.software):
        return _ok("time zones", "PostgreSQL reads its own, not the host's")
    if Path("/usr/share/zoneinfo/UTC").exists():
        return _ok("time zones", "PostgreSQL reads the host's")
    mend = "install tzdata on this machine"
    return _warn("time zones", "this host has none: PostgreSQL knows GMT only", mend)


def _data_version(paths: RuntimePaths) -> Finding:
    postgres = Postgres(paths=paths, account=paths.account())
    if not postgres.exists():
        return _ok("data", "none yet")
    postgres.require_same_version()
    return _ok("data", f"{paths.data} fits PostgreSQL {POSTGRES_MAJOR}")


def _servers(paths: RuntimePaths) -> list[Finding]:
    found: RuntimeStatus = status(paths)
    servers = (("TimescaleDB", found.postgres), ("Mosquitto", found.mosquitto))
    return [_server(name, server) for name, server in servers]


def _server(name: str, server: ServerStatus) -> Finding:
    if server.port is None:
        return _ok(name, "never started")
    if not server.is_running and not is_free(server.port):
        by = holder(server.port) or "a process that this user cannot see"
        mend = "forecare runtime up moves to another port"
        return _warn(name, f"stopped, and its port {server.port} is held by {by}", mend)
    if not server.is_running:
        return _ok(name, f"stopped; port {server.port} is free")
    if is_free(server.port):
        mend = "forecare runtime down, then up"
        return _fail(name, f"process {server.pid} does not listen on port {server.port}", mend)
    return _ok(name, f"process {server.pid} listens on 127.0.0.1:{server.port}")


def _pid_file(paths: RuntimePaths) -> Finding:
    file = paths.data / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return _ok("pid file", "none")
    postgres = Postgres(paths=paths, account=paths.account())
    if postgres.pid() == pid:
        return _ok("pid file", f"names process {pid}, which is ours")
    whose = "belongs to somebody else now" if is_alive(pid) else "is gone"
    mend = "forecare runtime up clears it; that process is left alone"
    return _warn("pid file", f"names process {pid}, which {whose}", mend)


def _logs(paths: RuntimePaths) -> list[Finding]:
    findings = []
    for log in (paths.postgres_log, paths.mosquitto_log):
        errors = recent_errors(log_tail(log))
        if errors:
            shown = "; ".join(errors[-_ERRORS_SHOWN:])
            findings.append(_warn(log.name, shown, f"read on in {log}"))
        else:
            findings.append(_ok(log.name, "no recent errors"))
    return findings
