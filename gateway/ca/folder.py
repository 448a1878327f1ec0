"""The authority's folder: its keys, what it has issued, and what the broker reads of it.

It needs no database, so it may lie on a machine of its own. Every certificate is noted before it is
handed out: after a crash in between a line is left of one that nobody has.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from core.errors import ConflictError, InvalidError, NotFoundError
from gateway.broker import REVOKED, SERVER_CERTIFICATE, SERVER_KEY, TRUSTED
from gateway.ca import certificates as make
from gateway.ca.certificates import Authority, PrivateKey, PublicKey
from gateway.topics import DEVICE_NAME

FOR_THE_BROKER = (TRUSTED, REVOKED, SERVER_CERTIFICATE, SERVER_KEY)
TITLE = "Forecare devices"
_INDEX = "issued.jsonl"
_PASSPHRASE_MIN = 12
_BACKDATED = timedelta(hours=1)
"""OpenSSL takes the newer of two lists by the second, and none from the future: with this room each
list can be a second newer than the one before, however fast they follow each other."""

Passphrase = Callable[[], str]
"""Asked for when a key is locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was issued."""

    serial: str
    """Hex digits."""
    kind: str
    """device or server."""
    name: str
    authority: int
    begins_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and self.begins_at <= now < self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFiles:
    """What a device needs. `key` is None when it made its key itself."""

    certificate: bytes
    trusted: bytes
    key: bytes | None
    issued: Issued


class CaFolder:
    """One authority, or two of them while one follows the other."""

    def __init__(self, root: Path, *, passphrase: Passphrase) -> None:
        self.root = root
        self._passphrase = passphrase

    def generations(self) -> tuple[int, ...]:
        """Return the authorities whose certificates count, oldest first."""
        found = (file.stem.removeprefix("ca-") for file in self.root.glob("ca-*.crt"))
        return tuple(sorted(int(number) for number in found if number.isdecimal()))

    def begin(self, *, passphrase: str, now: datetime) -> x509.Certificate:
        """Make the first authority, or one that follows the present one.

        The key is written before the certificate: without the latter the former counts for nothing.
        """
        if passphrase and len(passphrase) < _PASSPHRASE_MIN:
            raise InvalidError(
                "the passphrase is short", hint=f"give at least {_PASSPHRASE_MIN} characters"
            )
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        present = self.generations()
        generation = max(self._ever(), default=0) + 1
        key = make.new_key()
        certificate = make.make_authority(
            title=TITLE,
            generation=generation,
            key=key,
            serial=x509.random_serial_number(),
            now=now,
        )
        _write(self.root / f"ca-{generation}.key", _key_pem(key, passphrase=passphrase))
        if present:
            older = self._authority(present[-1])
            bridge = make.cross_sign(
                certificate, by=older, serial=x509.random_serial_number(), now=now
            )
            _write(self.root / f"bridge-{generation}.crt", _pem(bridge))
        _write(self.root / f"ca-{generation}.crt", _pem(certificate))
        self._write_trusted()
        self.write_revoked(now=now)
        return certificate

    def retire(self, generation: int, *, now: datetime) -> None:
        """Trust an authority no more; all its devices are out unless they have been renewed."""
        present = self.generations()
        if generation not in present or present == (generation,):
            raise ConflictError(
                f"authority {generation} cannot be retired: those in force are {list(present)}",
                hint="`forecare ca rotate` makes its successor first",
            )
        (self.root / f"ca-{generation}.crt").rename(self.root / f"retired-{generation}.crt")
        (self.root / f"bridge-{generation + 1}.crt").unlink(missing_ok=True)
        self._write_trusted()
        self.write_revoked(now=now)

    def issue_server(self, names: Sequence[str], *, now: datetime) -> Issued:
        """Make the broker's certificate, for host names or addresses, and put it into this folder."""
        authority, generation = self._newest()
        key, serial = make.new_key(), x509.random_serial_number()
        certificate = make.issue_server(
            names, key.public_key(), by=authority, serial=serial, now=now
        )
        issued = self._note(certificate, kind="server", name=names[0], generation=generation)
        bridge = self.root / f"bridge-{generation}.crt"
        chain = _pem(certificate) + (bridge.read_bytes() if bridge.exists() else b"")
        _write(self.root / SERVER_KEY, _key_pem(key, passphrase=""))
        _write(self.root / SERVER_CERTIFICATE, chain)
        return issued

    def issue_device(
        self, name: str, *, request: bytes | None, valid_for: timedelta, now: datetime
    ) -> DeviceFiles:
        """Make a certificate for a device; those that it has stay valid until they end or are revoked.

        Parameters
        ----------
        request : bytes or None
            A signing request in PEM form; without one the key is made here.
        """
        if not DEVICE_NAME.fullmatch(name):
            raise InvalidError(
                f"{name!r} cannot be a device name", hint="use 1 to 64 of A-Z, a-z, 0-9, _ and -"
            )
        authority, generation = self._newest()
        own = make.new_key() if request is None else None
        public = own.public_key() if own else make.request_key(request or b"", name=name)
        assert isinstance(public, PublicKey)
        certificate = make.issue_device(
            name,
            public,
            by=authority,
            serial=x509.random_serial_number(),
            now=now,
            valid_for=valid_for,
        )
        issued = self._note(certificate, kind="device", name=name, generation=generation)
        return DeviceFiles(
            certificate=_pem(certificate),
            trusted=(self.root / TRUSTED).read_bytes(),
            key=_key_pem(own, passphrase="") if own else None,
            issued=issued,
        )

    def for_a_moment(self, name: str, *, now: datetime) -> bytes:
        """Return key and certificate with which we are a device for five minutes, to end its session."""
        authority, _ = self._newest()
        key = make.new_key()
        certificate = make.issue_device(
            name,
            key.public_key(),
            by=authority,
            serial=x509.random_serial_number(),
            now=now,
            valid_for=timedelta(minutes=5),
        )
        return _key_pem(key, passphrase="") + _pem(certificate)

    def revoke(
        self, name: str, *, now: datetime, serial: str | None = None, keep_newest: bool = False
    ) -> tuple[Issued, ...]:
        """Void the certificates of a device, and write the list that says so."""
        valid = [i for i in self.issued() if i.name == name and i.kind == "device"]
        chosen = [i for i in valid if i.revoked_at is None and serial in (None, i.serial)]
        if keep_newest:
            chosen = chosen[:-1]
        if not chosen:
            raise NotFoundError(
                f"there is no such certificate of {name} to revoke",
                hint="`forecare ca list` shows them",
            )
        self.load_keys()  # before anything is noted: a wrong passphrase must change nothing
        for one in chosen:
            _append(self.root / _INDEX, {"serial": one.serial, "revoked_at": now.isoformat()})
        self.write_revoked(now=now)
        return tuple(replace(one, revoked_at=now) for one in chosen)

    def issued(self) -> tuple[Issued, ...]:
        """Return everything that was issued, oldest first."""
        found: dict[str, Issued] = {}
        for line in _lines(self.root / _INDEX):
            if "revoked_at" in line:
                revoked_at = datetime.fromisoformat(line["revoked_at"])
                found[line["serial"]] = replace(found[line["serial"]], revoked_at=revoked_at)
                continue
            line["begins_at"] = datetime.fromisoformat(line["begins_at"])
            line["ends_at"] = datetime.fromisoformat(line["ends_at"])
            found[line["serial"]] = Issued(**line)
        return tuple(found.values())

    def write_revoked(self, *, now: datetime) -> None:
        """Write one list per authority in force: without its list all its devices would be refused."""
        made_at = self._list_time(now)
        text = b""
        for generation in self.generations():
            revoked = [
                (int(i.serial, 16), i.revoked_at)
                for i in self.issued()
                if i.authority == generation and i.revoked_at
            ]
            made = make.revocation_list(
                revoked,
                by=self._authority(generation),
                made_at=made_at,
                number=int(made_at.timestamp()),
            )
            text += made.public_bytes(Encoding.PEM)
        _write(self.root / REVOKED, text)

    def load_keys(self) -> None:
        """Open every key.

        Raises
        ------
        InvalidError
            If the passphrase is wrong.
        """
        for generation in self.generations():
            self._authority(generation)

    def _list_time(self, now: datetime) -> datetime:
        try:
            text = (self.root / REVOKED).read_bytes()
            before = x509.load_pem_x509_crl(text).last_update_utc
        except (FileNotFoundError, ValueError):
            before = datetime.min.replace(tzinfo=UTC)
        backdated = (now - _BACKDATED).replace(microsecond=0)
        return max(backdated, before + timedelta(seconds=1)) if before.year > 1 else backdated

    def _newest(self) -> tuple[Authority, int]:
        present = self.generations()
        if not present:
            raise NotFoundError(
                f"there is no authority in {self.root}", hint="`forecare ca init` makes one"
            )
        return self._authority(present[-1]), present[-1]

    def _authority(self, generation: int) -> Authority:
        certificate = x509.load_pem_x509_certificate(
            (self.root / f"ca-{generation}.crt").read_bytes()
        )
        key = _load_key((self.root / f"ca-{generation}.key").read_bytes(), self._passphrase)
        return Authority(certificate=certificate, key=key)

    def _ever(self) -> tuple[int, ...]:
        found = [file.stem.partition("-")[2] for file in self.root.glob("*-*.crt")]
        return tuple(int(number) for number in found if number.isdecimal())

    def _note(
        self, certificate: x509.Certificate, *, kind: str, name: str, generation: int
    ) -> Issued:
        issued = Issued(
            serial=f"{certificate.serial_number:x}",
            kind=kind,
            name=name,
            authority=generation,
            begins_at=certificate.not_valid_before_utc,
            ends_at=certificate.not_valid_after_utc,
        )
        line = asdict(issued)
        del line["revoked_at"]
        line |= {"begins_at": issued.begins_at.isoformat(), "ends_at": issued.ends_at.isoformat()}
        _append(self.root / _INDEX, line)
        return issued

    def _write_trusted(self) -> None:
        parts = [(self.root / f"ca-{number}.crt").read_bytes() for number in self.generations()]
        _write(self.root / TRUSTED, b"".join(parts))


def _load_key(pem: bytes, passphrase: Passphrase) -> PrivateKey:
    is_locked = b"ENCRYPTED" in pem
    try:
        key = load_pem_private_key(pem, passphrase().encode() if is_locked else None)
    except ValueError as error:
        raise InvalidError(
            "the authority's key cannot be opened", hint="is this its passphrase?"
        ) from error
    assert isinstance(key, PrivateKey)
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: PrivateKey, *, passphrase: str) -> bytes:
    lock = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def _write(file: Path, content: bytes) -> None:
    """Replace a file at once; nobody else may read it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _append(file: Path, line: dict[str, object]) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    begins = "" if _ends_whole(file) else "\n"
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(f"{begins}{json.dumps(line)}\n")
        stream.flush()
        os.fsync(stream.fileno())


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read() == b"\n"


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        with suppress(ValueError):  # cut off by a crash: what it was about was never handed out
            found.append(json.loads(line))
    return found
