"""Which Debian packages, and how they get here: apt's own download, checked against signed indexes.

Mirrors come from the machine's own apt configuration, so no address stands in this repository.
Needs neither root nor the machine's package lists.
"""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from core.runtime.disk import full_disk, tells_full_disk
from core.runtime.errors import (
    DownloadError,
    NoMirrorError,
    NoNetworkError,
    NoPackageToolsError,
)
from core.runtime.progress import Progress

SUITE = "trixie"
POSTGRES_MAJOR = "17"
WANTED = (
    f"postgresql-{POSTGRES_MAJOR}-timescaledb",
    f"postgresql-client-{POSTGRES_MAJOR}",
    "mosquitto",
    "mosquitto-clients",
)
# Of the closure of about 98 packages these are needed to run; the rest serves installing on Debian.
_KEPT = re.compile(rf"^(lib|zlib1g|tzdata|mosquitto|postgresql-(client-)?{POSTGRES_MAJOR})")
_LEFT_OUT = re.compile(
    r"perl|llvm|libz3|pam-modules|semanage|sepol|libdb5|libdebconf|libproc2|libncursesw"
    r"|sasl2-modules|libgdbm|libc-l10n"
)
_MIRROR = re.compile(r"^'(\S+?)/dists/([^']+)/InRelease'", re.MULTILINE)
_PLANNED = re.compile(r"^Inst (\S+) ", re.MULTILINE)
_OFFER = re.compile(r"^'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})$", re.MULTILINE)
_NO_NETWORK = (
    "Temporary failure resolving",
    "Could not resolve",
    "Could not connect",
    "unreachable",
)
_NO_NETWORK_TOO = ("Connection timed out", "Connection refused", "Connection failed")
_STDERR_LINES_MAX = 6
_POLL_SECONDS = 0.1
_APT_TIMEOUT_SECONDS = 600
_KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One file to fetch; the hash comes from the signed index."""

    file: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return self.file.split("_", 1)[0]

    @property
    def version(self) -> str:
        return unquote(self.file.split("_")[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A base address of the machine's own apt sources."""

    base: str
    has_security: bool


class Apt:
    """A private apt: the machine's mirrors and keys, its own lists, no effect on the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offers(self, *, progress: Progress) -> tuple[Package, ...]:
        """Fetch the signed indexes and return the packages that are needed.

        Raises
        ------
        NoNetworkError, NoMirrorError, NoPackageToolsError, DiskFullError
        """
        self._configure()
        with progress.task("reading package indexes"):
            self._update_lists()
            plan = self._apt("-s", "install", *WANTED)
        if plan.returncode:
            raise _explained(plan.stderr, folder=self._folder)
        names = needed_names(plan.stdout)
        offer = self._apt("download", "--print-uris", *names)
        packages = parse_offers(offer.stdout)
        if offer.returncode or len(packages) != len(names):
            raise _explained(offer.stderr, folder=self._folder)
        return packages

    def download(self, packages: Sequence[Package], into: Path, *, progress: Progress) -> None:
        """Fetch packages; apt checks each against the signed index."""
        total = sum(package.size_bytes for package in packages)
        command = [*_APT_GET, "download", *(package.name for package in packages)]
        with (
            (self._folder / "download.log").open("w+") as log,
            progress.task(
                f"downloading {len(packages)} packages", total=total, in_bytes=True
            ) as task,
            subprocess.Popen(
                command, cwd=into, env=self._environment(), stdout=log, stderr=log, text=True
            ) as process,
        ):
            try:
                while process.poll() is None:
                    task.done(min(total, _size_of_files(into)))
                    time.sleep(_POLL_SECONDS)
            except BaseException:  # also Ctrl-C: leave no download running behind our back
                process.terminate()
                raise
            log.seek(0)
            said = log.read()
        if process.returncode:
            raise _explained(said, folder=into)

    def _configure(self) -> None:
        for name in ("none", "state/lists/partial", "cache/archives/partial", "probe/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "state/status").touch()
        here = str(self._folder).replace('"', "")
        (self._folder / "apt.conf").write_text(_APT_CONF.format(here=here))

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}

    def _apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _run_apt([*_APT_GET, *words], environment=self._environment())

    def _update_lists(self) -> None:
        """Read every mirror; if one of them fails, find out which ones carry the release.

        Third-party sources are common and carry neither this release nor Debian's signature.
        """
        mirrors = self._mirrors()
        self._write_sources(mirrors)
        result = self._apt("-qq", "update")
        if result.returncode == 0:
            return
        usable = [mirror for mirror in mirrors if self._can_read(mirror)]
        if not usable:
            raise _explained(result.stderr, folder=self._folder)
        self._write_sources(usable)

    def _can_read(self, mirror: Mirror) -> bool:
        self._write_sources([mirror])
        # The first round has tried again already.
        return self._apt("-qq", "-o", "Acquire::Retries=0", "update").returncode == 0

    def _mirrors(self) -> list[Mirror]:
        listed = _run_apt(
            [
                "apt-get",
                "-o",
                f"Dir::State::lists={self._folder / 'probe'}",
                "update",
                "--print-uris",
            ],
            environment={**os.environ, "LC_ALL": "C"},
        )
        mirrors = parse_mirrors(listed.stdout)
        if not mirrors:
            raise NoMirrorError(
                f"this machine's apt names no package mirror ({_last_lines(listed.stderr) or 'no source'})",
                hint="add one to /etc/apt/sources.list, or use `docker compose up`, or name servers"
                " of yours with FORECARE_DATABASE_URL and FORECARE_MQTT_URL",
            )
        return mirrors

    def _write_sources(self, mirrors: Iterable[Mirror]) -> None:
        keyring = next(iter(sorted(_KEYRINGS.glob("debian-archive-keyring.*"))), None)
        option = f"[signed-by={keyring}] " if keyring else ""
        lines = [f"deb {option}{m.base} {_suite(m)} main\n" for m in mirrors]
        (self._folder / "sources.list").write_text("".join(lines))


class PackageCache:
    """Downloaded packages, kept between installations and checked by hash at every use."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def take(self, package: Package, into: Path) -> bool:
        """Copy a package out of the cache; False when it is absent or not what was signed."""
        if self._folder is None:
            return False
        kept = self._folder / _cache_name(package)
        try:
            shutil.copyfile(kept, into / package.file)
        except OSError:
            return False
        if is_intact(into / package.file, package):
            return True
        (into / package.file).unlink(missing_ok=True)
        return False

    def keep(self, package: Package, found: Path) -> None:
        """Add a package; a cache that cannot be written is no reason to fail."""
        if self._folder is None:
            return
        draft = self._folder / f".{package.sha256}.{os.getpid()}"
        try:
            shutil.copyfile(found, draft)
            draft.replace(self._folder / _cache_name(package))
        except OSError:
            draft.unlink(missing_ok=True)


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the user's cache for packages, or None where none can be written."""
    base = Path(environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = base / "forecare" / "debs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def fetch(
    apt: Apt, packages: Sequence[Package], into: Path, *, cache: PackageCache, progress: Progress
) -> None:
    """Put every package into a folder, from the cache or the mirror, and check each hash.

    Raises
    ------
    DownloadError
        If a package is not what the signed index says.
    """
    missing = [package for package in packages if not cache.take(package, into)]
    if missing:
        apt.download(missing, into, progress=progress)
    for package in missing:
        if not is_intact(into / package.file, package):
            raise DownloadError(
                f"{package.file} is not what the signed index says", hint="run the command again"
            )
        cache.keep(package, into / package.file)


def is_intact(file: Path, package: Package) -> bool:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == package.sha256
    except FileNotFoundError:
        return False


def parse_mirrors(listing: str) -> list[Mirror]:
    """Read `apt-get update --print-uris`; each base address once, in the machine's order."""
    security: dict[str, bool] = {}
    for base, suite in _MIRROR.findall(listing):
        is_security = "security" in f"{base}/{suite}".rsplit("/dists/", 1)[0]
        security[base] = security.get(base, False) or is_security
    return [Mirror(base=base, has_security=value) for base, value in security.items()]


def needed_names(plan: str) -> list[str]:
    """Return the packages to unpack, from the text of `apt-get -s install`."""
    names = _PLANNED.findall(plan)
    return [name for name in names if _KEPT.match(name) and not _LEFT_OUT.search(name)]


def parse_offers(listing: str) -> tuple[Package, ...]:
    """Read `apt-get download --print-uris`."""
    return tuple(
        Package(file=file, size_bytes=int(size), sha256=digest)
        for _, file, size, digest in _OFFER.findall(listing)
    )


_APT_GET = ("apt-get", "-o", "APT::Update::Error-Mode=any")
_APT_CONF = """\
Dir::Etc::sourcelist "{here}/sources.list";
Dir::Etc::sourceparts "{here}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{here}/none";
Dir::State "{here}/state";
Dir::State::lists "{here}/state/lists";
Dir::State::status "{here}/state/status";
Dir::Cache "{here}/cache";
Dir::Cache::archives "{here}/cache/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Default-Release "";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""


def _run_apt(
    command: Sequence[str], *, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            list(command),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            timeout=_APT_TIMEOUT_SECONDS,
        )
    except FileNotFoundError as error:
        raise no_tool("apt-get") from error
    except subprocess.TimeoutExpired as error:
        raise NoNetworkError(
            f"apt did not finish within {_APT_TIMEOUT_SECONDS} s", hint="run the command again"
        ) from error


def no_tool(name: str) -> NoPackageToolsError:
    return NoPackageToolsError(
        f"this machine has no {name}, which the embedded servers are unpacked with",
        hint="on a machine without Debian's tools use `docker compose up`, or name servers of yours"
        " with FORECARE_DATABASE_URL and FORECARE_MQTT_URL",
    )


def _explained(said: str, *, folder: Path) -> Exception:
    """Turn what apt said into an error that tells what to do."""
    last = _last_lines(said)
    if tells_full_disk(said):
        return full_disk(folder, purpose="downloading packages")
    if any(words in said for words in (*_NO_NETWORK, *_NO_NETWORK_TOO)):
        return NoNetworkError(
            f"the package mirrors cannot be reached: {last}",
            hint="check the network and the proxy of apt (/etc/apt/apt.conf.d), then run it again",
        )
    if "NO_PUBKEY" in said:
        return NoMirrorError(
            f"this machine does not know the key of Debian {SUITE}: {last}",
            hint="apt-get install --only-upgrade debian-archive-keyring",
        )
    return NoMirrorError(
        f"this machine's mirrors do not offer Debian {SUITE}: {last}",
        hint="on Ubuntu and others use `docker compose up`, or name servers of yours with"
        " FORECARE_DATABASE_URL and FORECARE_MQTT_URL",
    )


def _suite(mirror: Mirror) -> str:
    return f"{SUITE}-security" if mirror.has_security else SUITE


def _last_lines(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-_STDERR_LINES_MAX:])


def _cache_name(package: Package) -> str:
    return f"{package.sha256[:32]}-{package.file}"


def _size_of_files(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.deb*") if file.exists())
