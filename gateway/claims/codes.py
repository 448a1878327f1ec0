"""The code with which an owner takes a device: short, readable, and safe against a slip of the finger. Pure."""

import hashlib
import hmac

from core.errors import InvalidError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U."""
_MISREAD = str.maketrans("OIL", "011")
_DATA = 15  # 75 bits: with ten guesses a minute and a million devices, 10^15 years on average
LENGTH = _DATA + 1
_GROUP = 4


def derive_code(key: bytes, *, device_id: int, turn: int) -> str:
    """Return the code of a device, always the same for the same turn.

    It is made from the installation's key, so that a label can be printed again although only the
    hash of the code is stored.
    """
    text = f"gateway.claim:{device_id}:{turn}".encode()
    number = int.from_bytes(hmac.new(key, text, hashlib.sha256).digest())
    data = "".join(_ALPHABET[(number >> (5 * i)) & 31] for i in range(_DATA))
    return data + _check(data)


def shown_code(code: str) -> str:
    """Write a code in groups of four."""
    return "-".join(code[i : i + _GROUP] for i in range(0, len(code), _GROUP))


def read_code(text: str) -> str:
    """Read a code as people type it: small letters, spaces, O for 0, I and L for 1.

    Raises
    ------
    InvalidError
        If it cannot be a code; a wrong or swapped character is found without a look at any device.
    """
    code = "".join(c for c in text.upper() if c.isalnum()).translate(_MISREAD)
    if len(code) != LENGTH or not set(code) <= set(_ALPHABET):
        raise InvalidError(
            "this is no code of a device",
            hint=f"it has {LENGTH} letters and digits, in groups of four: look at the label",
        )
    if code[-1] != _check(code[:-1]):
        raise InvalidError(
            "one character of the code is wrong", hint="compare it with the label once more"
        )
    return code


def hash_code(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _check(data: str) -> str:
    """Luhn's check for base 32: finds every wrong character and nearly all swapped neighbours."""
    total = 0
    for i, character in enumerate(reversed(data)):
        value = _ALPHABET.index(character) * (2 if i % 2 == 0 else 1)
        total += value // 32 + value % 32
    return _ALPHABET[-total % 32]
