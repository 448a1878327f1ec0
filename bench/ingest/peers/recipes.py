"""Which peers there are, what they need, and how each is started."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from core.errors import RetryableError

_PYTHON_PACKAGES = ("paho-mqtt==2.2.0", "psycopg[binary]==3.3.9", "pathway==0.33.0")
_NODE_PACKAGES = ("node-red@4", "pg@8.23.1")
_INSTALL_S_MAX = 600
_STAMP = "installed"


class NoPeerError(RetryableError):
    """A peer cannot be run here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a peer is told, in environment variables."""

    host: str
    port: int
    user: str
    password: str
    database_url: str

    def environment(self) -> dict[str, str]:
        return {
            "PEER_HOST": self.host,
            "PEER_PORT": str(self.port),
            "PEER_USER": self.user,
            "PEER_PASSWORD": self.password,
            "PEER_DATABASE_URL": self.database_url,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One recipe."""

    name: str
    library: str
    """The package whose version is shown."""
    messages: int
    """In a run: some seconds of work for it."""
    ahead_max: int
    command: Callable[[Path, Access], Sequence[str]]
    """Prepares what it needs in its cache folder; returns what to start."""
    environment: Mapping[str, str]


def install(cache: Path, *, node: bool) -> dict[str, str]:
    """Install what peers need, once; return the versions of what is there.

    Raises
    ------
    NoPeerError
        If the packages cannot be had.
    """
    folder = cache / ("node" if node else "python")
    if not (folder / _STAMP).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (_install_node if node else _install_python)(folder)
        (folder / _STAMP).touch()
    return _node_versions(folder) if node else _python_versions(folder)


def peers(cache: Path) -> tuple[Peer, ...]:
    """Return all peers, the slowest first."""
    state = cache / "pathway-state"
    return (
        Peer(
            name="paho, one INSERT a message",
            library="paho-mqtt",
            messages=12_000,
            ahead_max=4_000,
            command=_script("one_insert"),
            environment={},
        ),
        Peer(
            name="paho, executemany of 1,000, automatic ack",
            library="paho-mqtt",
            messages=80_000,
            ahead_max=20_000,
            command=_script("batched"),
            environment={},
        ),
        Peer(
            name="Node-RED, INSERT of 1,000 rows",
            library="node-red",
            messages=120_000,
            ahead_max=40_000,
            command=_node_red,
            environment={},
        ),
        Peer(
            name="Pathway, no persistence",
            library="pathway",
            messages=300_000,
            ahead_max=80_000,
            command=_script("with_pathway"),
            environment={"PEER_STATE": ""},
        ),
        Peer(
            name="Pathway, persistence every 20 ms",
            library="pathway",
            messages=300_000,
            ahead_max=80_000,
            command=_script("with_pathway"),
            environment={"PEER_STATE": str(state)},
        ),
    )


def forget_state(cache: Path) -> None:
    shutil.rmtree(cache / "pathway-state", ignore_errors=True)


def _script(name: str) -> Callable[[Path, Access], Sequence[str]]:
    def command(cache: Path, _: Access) -> Sequence[str]:
        file = cache / f"{name}.py"
        file.write_text(_text(f"{name}.py.txt"), encoding="utf-8")
        return [str(cache / "python" / "bin" / "python"), str(file)]

    return command


def _node_red(cache: Path, access: Access) -> Sequence[str]:
    folder = cache / "node"
    flow = _text("flow.json")
    for name, value in access.environment().items():
        if name != "PEER_DATABASE_URL":  # read from the environment by the flow itself
            flow = flow.replace(f'"{name}"', json.dumps(value))
    (folder / "flow.json").write_text(flow, encoding="utf-8")
    credentials = {"broker": {"user": access.user, "password": access.password}}
    secret = folder / "flow_cred.json"
    secret.touch(mode=0o600)
    secret.write_text(json.dumps(credentials), encoding="utf-8")
    (folder / "settings.js").write_text(_text("settings.js.txt"), encoding="utf-8")
    program = folder / "node_modules" / "node-red" / "red.js"
    return [_found("node"), str(program), "--userDir", str(folder)]


def _install_python(folder: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *_PYTHON_PACKAGES])


def _install_node(folder: Path) -> None:
    npm = _found("npm")
    options = ["--no-audit", "--no-fund", "--prefix", str(folder)]
    _run([npm, "install", *options, *_NODE_PACKAGES])


def _python_versions(folder: Path) -> dict[str, str]:
    program = (
        "from importlib.metadata import version as v;"
        "print(*(f'{n} {v(n)}' for n in ('paho-mqtt', 'psycopg', 'pathway')), sep='\\n')"
    )
    told = _run([str(folder / "bin" / "python"), "-c", program])
    return dict(line.split(" ", 1) for line in told.splitlines() if " " in line)


def _node_versions(folder: Path) -> dict[str, str]:
    modules = folder / "node_modules"
    return {
        name: str(json.loads((modules / name / "package.json").read_text())["version"])
        for name in ("node-red", "pg")
    }


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INSTALL_S_MAX
        )
    except subprocess.TimeoutExpired as error:
        raise NoPeerError(f"{Path(command[0]).name} took more than {_INSTALL_S_MAX} s") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise NoPeerError(f"{Path(command[0]).name} failed: {reason}")
    return done.stdout


def _found(program: str) -> str:
    path = shutil.which(program, path=os.environ.get("PATH"))
    if path is None:
        raise NoPeerError(f"there is no {program}", hint=f"install {program}")
    return path


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
