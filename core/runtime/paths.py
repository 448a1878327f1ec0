"""Where the runtime keeps its things, and where it goes when that place is out of reach."""

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from core.runtime.account import Account, can_enter, server_account
from core.runtime.errors import WrongOwnerError
from core.settings import PROJECT_ROOT, load_settings

_POINTER = "moved-to"
_INSTANCES = "instances"
_FALLBACK_PARENT = Path("/var/tmp")  # noqa: S108  # survives a reboot; checked in `claim_fallback`


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimePaths:
    """One instance: its own folder, and the unpacked software, which instances may share."""

    root: Path
    software: Path
    relocated_from: Path | None = None

    @classmethod
    def of(cls, root: Path | None = None) -> Self:
        """Find the runtime's place.

        Parameters
        ----------
        root : Path, optional
            Wanted folder; by default what the settings say (FORECARE_RUNTIME_DIR), else `.runtime`
            of the project.

        When root's unprivileged stand-in cannot reach that folder (a checkout below /root), the
        whole runtime lives in `/var/tmp/forecare-<hash of the wanted folder>`; `relocated_from`
        then says from where. A folder `instances/NAME` inside another runtime folder is that one's
        `instance(NAME)`.
        """
        wanted = (root or _default_root()).expanduser().absolute()
        if wanted.parent.name == _INSTANCES:
            return cls.of(wanted.parent.parent).instance(wanted.name)
        moved = _moved(wanted)
        if moved is not None:
            return cls(root=moved, software=moved / "software", relocated_from=wanted)
        return cls(root=wanted, software=wanted / "software")

    def instance(self, name: str) -> Self:
        """Return a second instance that shares the software and nothing else, for a test run."""
        return replace(self, root=self.root / _INSTANCES / name)

    @property
    def is_isolated(self) -> bool:
        """Whether this is an instance beside the main one (it ignores fixed ports)."""
        return self.software != self.root / "software"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def data(self) -> Path:
        return self.postgres / "data"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def postgres_log(self) -> Path:
        return self.log / "postgres.log"

    @property
    def mosquitto_log(self) -> Path:
        return self.log / "mosquitto.log"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def account(self) -> Account:
        """Return who runs this instance's servers: the owner of what exists, when root asks."""
        return server_account(_owners(self.root, self.software))


def fallback_for(wanted: Path) -> Path:
    """Return the place under /var/tmp that stands in for an unreachable one."""
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    return _FALLBACK_PARENT / f"forecare-{digest}"


def claim_fallback(paths: RuntimePaths) -> None:
    """Create the folder under /var/tmp safely, and leave a pointer to it where it was wanted.

    Everybody may write to /var/tmp, so a folder of that name that somebody else made, or a link, is
    refused instead of trusted.
    """
    if paths.relocated_from is None:
        return
    paths.root.mkdir(mode=0o755, exist_ok=True)
    facts = paths.root.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise WrongOwnerError(
            f"{paths.root} is not a folder of user id {os.geteuid()}",
            hint="remove it, or choose a place: FORECARE_RUNTIME_DIR=/srv/forecare",
        )
    paths.relocated_from.mkdir(parents=True, exist_ok=True)
    (paths.relocated_from / _POINTER).write_text(f"{paths.root}\n")


def make_folder(folder: Path) -> None:
    """Create a folder that belongs to whoever owns the one above it, also when root creates it."""
    if folder.exists():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)


def _default_root() -> Path:
    settings = load_settings()
    if settings.runtime_dir or (PROJECT_ROOT / "pyproject.toml").is_file():
        return settings.runtime_path
    return Path("~/.local/share/forecare/runtime")  # installed without a checkout


def _moved(wanted: Path) -> Path | None:
    """Return the place remembered or needed instead of the wanted one."""
    try:
        return Path((wanted / _POINTER).read_text().strip())
    except OSError:
        pass
    if os.geteuid() != 0 or can_enter(wanted, server_account(_owners(wanted, wanted / "software"))):
        return None
    return fallback_for(wanted)


def _owners(root: Path, software: Path) -> tuple[Path, ...]:
    return (root / "postgres", root, software, software.parent, software.parent.parent)
