"""The unpacked servers: installed as a whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from core.runtime.disk import (
    MEGABYTE,
    FreeBytes,
    disk_trouble_explained,
    free_bytes,
    require_space,
)
from core.runtime.packages import SUITE, Apt, Package, PackageCache, cache_folder, fetch
from core.runtime.paths import make_folder
from core.runtime.progress import Progress
from core.runtime.state import locked, wrong_owner
from core.runtime.unpack import make_runnable, unpack, verify

FORMAT = 1  # raise it when what `install` makes of the packages changes
SPACE_NEEDED_BYTES = 300 * MEGABYTE  # the common peak of indexes, packages, files was 190 MB
_STAMP = "forecare.json"
_SHOWN = {
    "postgresql-17": "PostgreSQL",
    "postgresql-17-timescaledb": "TimescaleDB",
    "mosquitto": "Mosquitto",
    "tzdata": "time zones",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What was unpacked, and for which place; written last, so it proves completeness."""

    format: int
    suite: str
    home: str
    packages: tuple[str, ...]

    def versions(self) -> dict[str, str]:
        """Return the versions of the servers, such as {'PostgreSQL': '17.12'}."""
        parts = [file.split("_") for file in self.packages]
        return {_SHOWN[p[0]]: plain_version(p[1]) for p in parts if p[0] in _SHOWN}


def plain_version(debian: str) -> str:
    """Strip what the distribution added: `17.12-0+deb13u1` is 17.12."""
    return debian.rpartition("%3a")[2].rsplit("-", 1)[0].partition("+")[0]


def installed(software: Path) -> Stamp | None:
    """Return what is installed and usable at this place, else None."""
    try:
        content = json.loads((software / _STAMP).read_text())
        stamp = Stamp(**{**content, "packages": tuple(content["packages"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # The loader's absolute path is written into the programs: a moved folder is unpacked anew.
    fits = stamp.format == FORMAT and stamp.suite == SUITE and stamp.home == str(software)
    return stamp if fits else None


def install_software(
    software: Path,
    *,
    progress: Progress,
    again: bool = False,
    environ: Mapping[str, str] = os.environ,
    free: FreeBytes = free_bytes,
) -> Stamp:
    """Download, unpack, patch, verify; then put the result into place with one rename.

    A crash at any point leaves the former state and a draft that the next call removes.

    Raises
    ------
    DiskFullError, NoNetworkError, NoMirrorError, NoPackageToolsError, BrokenInstallError
    """
    present = installed(software)
    if present is not None and not again:
        return present
    try:
        make_folder(software.parent)
    except PermissionError as error:
        raise wrong_owner(software) from error
    lock = software.with_name(f"{software.name}.lock")
    with locked(lock, purpose="installing the servers", progress=progress):
        present = installed(software)
        if present is not None and not again:
            return present
        return _install_locked(software, progress=progress, environ=environ, free=free)


def _install_locked(
    software: Path, *, progress: Progress, environ: Mapping[str, str], free: FreeBytes
) -> Stamp:
    purpose = "installing the servers"
    require_space(software.parent, needed=SPACE_NEEDED_BYTES, purpose=purpose, reader=free)
    with disk_trouble_explained(software.parent, purpose=purpose), _draft(software) as draft:
        apt = Apt(draft / "apt")
        packages = apt.offers(progress=progress)
        debs = draft / "debs"
        debs.mkdir()
        cache = PackageCache(cache_folder(environ))
        fetch(apt, packages, debs, cache=cache, progress=progress)
        unpacked = draft / "software"
        unpack(sorted(debs.iterdir()), unpacked, progress=progress)
        with progress.task("making the programs run in place"):
            make_runnable(unpacked, home=software)
            stamp = _write_stamp(unpacked, packages, home=software)
            _swap(unpacked, software, old=draft / "old")
            _verify_or_remove(software)
    shown = ", ".join(f"{name} {version}" for name, version in stamp.versions().items())
    progress.note(f"installed {shown} in {software}")
    return stamp


@contextmanager
def _draft(software: Path) -> Iterator[Path]:
    """Give a folder beside the final place, without what killed predecessors left there.

    Its name is new each time: a download that outlived its killed parent cannot write into it.
    """
    prefix = f"{software.name}.draft-"
    for left in software.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=software.parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_stamp(unpacked: Path, packages: Sequence[Package], *, home: Path) -> Stamp:
    names = tuple(sorted(package.file for package in packages))
    stamp = Stamp(format=FORMAT, suite=SUITE, home=str(home), packages=names)
    (unpacked / _STAMP).write_text(json.dumps(asdict(stamp), indent=1))
    return stamp


def _swap(unpacked: Path, software: Path, *, old: Path) -> None:
    """Replace the software; servers that run go on with the files that they have open."""
    unpacked.chmod(0o755)
    _hand_over(unpacked, like=software.parent)
    if software.exists():
        software.rename(old)
    unpacked.rename(software)


def _verify_or_remove(software: Path) -> None:
    """The loader's path is final, so only now can the programs be tried."""
    try:
        verify(software)
    except BaseException:
        (software / _STAMP).unlink(missing_ok=True)
        raise


def _hand_over(folder: Path, *, like: Path) -> None:
    """What root installs in an ordinary user's folder stays that user's."""
    owner = like.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for place, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            path = os.path.join(place, name)  # noqa: PTH118  # thousands of files
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
