"""From packages to a folder of programs that run in place, on whatever system lies underneath."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from core.runtime.disk import full_disk, tells_full_disk
from core.runtime.errors import BrokenInstallError
from core.runtime.packages import POSTGRES_MAJOR, no_tool
from core.runtime.progress import Progress

_POSTGRES_BIN = f"usr/lib/postgresql/{POSTGRES_MAJOR}/bin"
PROGRAMS = (
    f"{_POSTGRES_BIN}/postgres",
    f"{_POSTGRES_BIN}/initdb",
    f"{_POSTGRES_BIN}/pg_ctl",
    f"{_POSTGRES_BIN}/psql",
    "usr/sbin/mosquitto",
)
_SKIPPED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/lib/systemd",
    "var",
    f"usr/share/postgresql/{POSTGRES_MAJOR}/man",
    f"usr/lib/postgresql/{POSTGRES_MAJOR}/lib/bitcode",
    "usr/lib/*/gconv",
    # Without libLLVM beside it, this file is an error at the first costly query.
    f"usr/lib/postgresql/{POSTGRES_MAJOR}/lib/llvmjit.so",
)
_ELF = b"\x7fELF"
# Debian compiles the place of the time zones in. A machine without tzdata would know GMT only, so
# the path is replaced by one of the same length, relative to the data folder, where every
# PostgreSQL process works: ../zoneinfo is a link that postgres.py keeps.
_ZONES_OF_HOST = b"\0/usr/share/zoneinfo\0"
_ZONES_OF_OURS = b"\0..//" + b"/" * 7 + b"zoneinfo\0"


def unpack(debs: Sequence[Path], into: Path, *, progress: Progress) -> None:
    """Unpack packages side by side; nothing of them is executed."""
    into.mkdir(parents=True)
    with progress.task("unpacking", total=len(debs)) as task:
        for number, deb in enumerate(debs, start=1):
            _unpack_one(deb, into)
            task.done(number)


def make_runnable(unpacked: Path, *, home: Path) -> None:
    """Let the programs find their loader and libraries in the place where they will live.

    Parameters
    ----------
    unpacked : Path
        Where the files are now.
    home : Path
        Where they will be when they run; the loader's path is written with it.
    """
    loader = _loader(unpacked)
    # Some packages leave the soname links to ldconfig.
    _checked([unpacked / "usr/sbin/ldconfig", "-n", loader.parent], purpose="linking libraries")
    libraries = loader.parent.relative_to(unpacked)
    patchelf = find_patchelf()
    for program in _programs(unpacked):
        up = os.path.relpath(unpacked, program.parent)
        words: list[str | Path] = [patchelf, "--force-rpath"]
        words += ["--set-interpreter", home / loader.relative_to(unpacked)]
        words += ["--set-rpath", f"$ORIGIN/{up}/{libraries}:$ORIGIN/{up}/usr/lib", program]
        _checked(words, purpose=f"patching {program.name}")
    _bring_time_zones(unpacked / PROGRAMS[0])


def verify(software: Path) -> None:
    """Check that every program finds all it needs, and nothing of the host's.

    Raises
    ------
    BrokenInstallError
        If something is missing or comes from elsewhere.
    """
    loader = _loader(software)
    for name in PROGRAMS:
        result = _run([loader, "--list", software / name])
        strangers = foreign_libraries(result.stdout, home=software)
        if result.returncode or strangers:
            told = ", ".join(strangers) or result.stderr.strip()
            raise BrokenInstallError(
                f"{software / name} cannot run here: {told}",
                hint="is the folder on a disk mounted noexec? else run `forecare runtime install"
                " --again`",
            )


def foreign_libraries(listing: str, *, home: Path) -> list[str]:
    """Return libraries that are missing or resolved outside, from the loader's `--list`."""
    missing = re.findall(r"^\s*(\S+) => not found", listing, re.MULTILINE)
    resolved = re.findall(r" => (/.*) \(0x[0-9a-f]+\)$", listing, re.MULTILINE)
    outside = [path for path in resolved if not Path(os.path.normpath(path)).is_relative_to(home)]
    return missing + outside


def has_own_time_zones(software: Path) -> bool:
    """Tell whether PostgreSQL reads the unpacked time zones instead of the host's."""
    return _ZONES_OF_OURS in (software / PROGRAMS[0]).read_bytes()


def find_patchelf() -> Path:
    """Find patchelf beside the running Python, else on the PATH.

    Raises
    ------
    NoPackageToolsError
    """
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if os.access(folder / "patchelf", os.X_OK):
            return folder / "patchelf"
    found = shutil.which("patchelf")
    if found is None:
        raise no_tool("patchelf")
    return Path(found)


def _unpack_one(deb: Path, into: Path) -> None:
    excluded = [f"--exclude=./{path}" for path in _SKIPPED]
    tar = ["tar", "--extract", "--no-same-owner", "--directory", str(into), *excluded]
    try:
        with (
            subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source,
            subprocess.Popen(tar, stdin=source.stdout, stderr=subprocess.PIPE, text=True) as target,
        ):
            assert source.stdout is not None
            source.stdout.close()
            _, said = target.communicate()
    except FileNotFoundError as error:
        raise no_tool(str(error.filename)) from error
    if tells_full_disk(said):
        raise full_disk(into, purpose=f"unpacking {deb.name}")
    if source.returncode or target.returncode:
        raise BrokenInstallError(f"cannot unpack {deb.name}: {said.strip()}")


def _loader(software: Path) -> Path:
    found = next(iter(sorted(software.glob("usr/lib/*/ld-linux*.so.*"))), None)
    if found is None:
        raise BrokenInstallError(f"no program loader in {software}", hint="install again")
    return found


def _programs(software: Path) -> list[Path]:
    found = [*(software / _POSTGRES_BIN).iterdir(), software / "usr/sbin/mosquitto"]
    found += software.glob("usr/bin/mosquitto_*")
    return [file for file in found if file.is_file() and not file.is_symlink() and _is_elf(file)]


def _is_elf(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(_ELF)) == _ELF


def _bring_time_zones(postgres: Path) -> None:
    """Replace the path where it stands alone; a build without it keeps to the host's zones."""
    content = postgres.read_bytes()
    if _ZONES_OF_HOST in content:
        postgres.write_bytes(content.replace(_ZONES_OF_HOST, _ZONES_OF_OURS))


def _checked(command: Sequence[str | Path], *, purpose: str) -> None:
    result = _run(command)
    if tells_full_disk(result.stderr):
        raise full_disk(Path(command[-1]).parent, purpose=purpose)
    if result.returncode:
        raise BrokenInstallError(f"{purpose} failed: {result.stderr.strip()}")


def _run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        return subprocess.run(
            [str(word) for word in command],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
    except PermissionError as error:
        raise BrokenInstallError(
            f"{command[0]} may not be executed",
            hint="is the folder on a disk mounted noexec? choose another with FORECARE_RUNTIME_DIR",
        ) from error
