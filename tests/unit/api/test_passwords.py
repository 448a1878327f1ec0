from datetime import UTC, datetime, timedelta

import pytest

from api.passwords import Passwords, Throttle, ThrottledError
from core.errors import InvalidError

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


def test_the_hash_is_argon2id_with_nineteen_mebibytes(passwords: Passwords) -> None:
    assert passwords.hash("long enough").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_password_opens_its_own_hash_only(passwords: Passwords) -> None:
    first, second = passwords.hash_all(["the first one", "the second one"])

    assert passwords.is_right("the first one", first)
    assert not passwords.is_right("the first one", second)


def test_nobody_has_no_password(passwords: Passwords) -> None:
    assert not passwords.is_right("nobody has this password", None)


@pytest.mark.parametrize("length", [0, 9, 201])
def test_a_password_has_a_sensible_length(passwords: Passwords, length: int) -> None:
    with pytest.raises(InvalidError, match=f"{length} characters"):
        passwords.hash("x" * length)


def test_the_eleventh_attempt_in_a_minute_is_refused_and_a_minute_later_it_is_not() -> None:
    throttle = Throttle(tries_max=10)
    for second in range(10):
        throttle.check("account:a", now=NOW + timedelta(seconds=second))

    with pytest.raises(ThrottledError):
        throttle.check("account:a", now=NOW + timedelta(seconds=30))

    throttle.check("account:a", now=NOW + timedelta(seconds=61))


def test_one_account_under_attack_leaves_the_others_alone() -> None:
    throttle = Throttle(tries_max=1)
    throttle.check("account:a", now=NOW)

    throttle.check("account:b", now=NOW)


def test_a_success_forgives_the_attempts_before() -> None:
    throttle = Throttle(tries_max=1)
    throttle.check("account:a", now=NOW)

    throttle.forget("account:a")

    throttle.check("account:a", now=NOW)
