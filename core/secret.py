"""One secret key per installation, and the passwords and signing keys that are derived from it.

The key comes from FORECARE_SECRET_KEY, else from a file that is made at first use with mode 0600.
There is no default key, so none can boot.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from core.errors import PermanentError

_KEY_LENGTH_MIN = 32


def load_key(file: Path, *, given: str = "") -> bytes:
    """Return the installation's key.

    Raises
    ------
    PermanentError
        If the given key is shorter than 32 characters.
    """
    if given:
        if len(given) < _KEY_LENGTH_MIN:
            raise PermanentError(
                f"FORECARE_SECRET_KEY has {len(given)} characters, fewer than {_KEY_LENGTH_MIN}",
                hint="python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
            )
        return given.encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        ) as stream:
            stream.write(secrets.token_urlsafe(32).encode())
            stream.flush()
            os.fsync(stream.fileno())
        # A link never replaces: of two processes that start at once the first one's key stands.
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    return file.read_bytes().strip()


def derive(key: bytes, purpose: str) -> str:
    """Return the password or signing key for one purpose, 256 bits in hex."""
    return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()
