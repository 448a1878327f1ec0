"""Passwords: argon2id with bounded memory, and a throttle that slows guessing without locking out."""

from collections import OrderedDict, deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InvalidError, RetryableError

PASSWORD_LENGTH_MIN = 10
PASSWORD_LENGTH_MAX = 200

_MEMORY_KIB = 19 * 1024  # with t=2, p=1 the OWASP Password Storage Cheat Sheet's first choice
_HASHES_AT_ONCE_MAX = 2
_WAIT_FOR_HASH_S = 10.0


class BusyError(RetryableError):
    """Too many people sign in at this moment."""


class ThrottledError(RetryableError):
    """Too many attempts; the same one may work after a pause."""


class Passwords:
    """Makes and checks password hashes, at most two at a time, so that signing in starves nobody."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=_MEMORY_KIB, parallelism=1)
        self._places = BoundedSemaphore(_HASHES_AT_ONCE_MAX)
        self._nobody = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """Return the argon2id hash.

        Raises
        ------
        InvalidError
            If the password is shorter than 10 or longer than 200 characters.
        """
        if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
            raise InvalidError(
                f"the password has {len(password)} characters",
                hint=f"give one of {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters",
            )
        with self._place():
            return self._hasher.hash(password)

    def hash_all(self, passwords: Iterable[str]) -> list[str]:
        with ThreadPoolExecutor(_HASHES_AT_ONCE_MAX) as threads:
            return list(threads.map(self.hash, passwords))

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """Check a password; takes as long for an address that nobody has."""
        with self._place():
            try:
                return (
                    self._hasher.verify(
                        password_hash or self._nobody, password[:PASSWORD_LENGTH_MAX]
                    )
                    and password_hash is not None
                )
            except (VerificationError, InvalidHashError):
                return False

    def _place(self) -> "_Place":
        return _Place(self._places)


class _Place:
    def __init__(self, places: BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(timeout=_WAIT_FOR_HASH_S):
            raise BusyError("many people sign in just now", hint="try again in a minute")

    def __exit__(self, *_: object) -> None:
        self._places.release()


class Throttle:
    """Lets a key through ten times a minute. In memory: one API process, and a restart forgives.

    When it is full the key that was quiet the longest is forgotten.
    """

    def __init__(self, *, tries_max: int = 10, within: timedelta = timedelta(minutes=1)) -> None:
        self._tries_max = tries_max
        self._within = within
        self._tries: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = Lock()
        self._keys_max = 20_000

    def check(self, *keys: str, now: datetime) -> None:
        """Count an attempt for each key.

        Raises
        ------
        ThrottledError
            If one of them had its attempts of this minute already.
        """
        with self._lock:
            full = [key for key in keys if len(self._recent(key, now)) >= self._tries_max]
            if full:
                raise ThrottledError("too many attempts", hint="wait a minute, then try again")
            for key in keys:
                self._tries[key].append(now)

    def forget(self, key: str) -> None:
        """Start a key anew after a success."""
        with self._lock:
            self._tries.pop(key, None)

    def _recent(self, key: str, now: datetime) -> deque[datetime]:
        tries = self._tries.setdefault(key, deque())
        self._tries.move_to_end(key)
        while tries and tries[0] <= now - self._within:
            tries.popleft()
        while len(self._tries) > self._keys_max:
            self._tries.popitem(last=False)
        return tries
