"""What a platform that runs on this machine leaves for us: its address, its mail, a login.

Read from the environment and from files; nothing of the platform is imported.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.errors import SimulatorError

_PORT = "8000"
_HOW_TO_GET_ONE = (
    "`forecare account add you@example.com --role manufacturer` makes an account;"
    " then give --email you@example.com with --password, or --login FILE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where things are if nobody says otherwise."""

    api_url: str
    runtime: Path

    @property
    def state(self) -> Path:
        return self.runtime / "simulate"

    @property
    def inbox(self) -> Path:
        return self.runtime / "inbox"

    @property
    def demo_login(self) -> Path:
        """What the demo leaves: {"email": …, "password": …}."""
        return self.runtime / "demo_login.json"


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    """Find the platform by the two variables that move it elsewhere. Pure."""
    return Surroundings(
        api_url=f"http://127.0.0.1:{environment.get('FORECARE_HTTP_PORT') or _PORT}",
        runtime=Path(environment.get("FORECARE_RUNTIME_DIR") or ".runtime"),
    )


def choose_login(*, file: Path | None, email: str, password: str, around: Surroundings) -> Login:
    """Return what was given; else what the demo has left on this machine.

    Raises
    ------
    SimulatorError
        If nothing, or half of it, was given, or a file holds something else.
    """
    if file is not None:
        return _read(file)
    if email:
        if not password:
            raise SimulatorError(
                f"no password for {email}", hint="give --password, or set SIMULATE_PASSWORD"
            )
        return Login(email=email, password=password)
    if around.demo_login.exists():
        return _read(around.demo_login)
    raise SimulatorError(
        f"nobody to sign in as: there is no {around.demo_login} of a demo on this machine",
        hint=_HOW_TO_GET_ONE,
    )


def _read(file: Path) -> Login:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Login(email=str(content["email"]), password=str(content["password"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SimulatorError(
            f"{file} is no login: {error!r}", hint='write {"email": "…", "password": "…"}'
        ) from error
