"""Beside a platform on this machine the simulator finds what it needs; what is given goes first."""

import json

import pytest

from firmware_sim.errors import SimulatorError
from firmware_sim.surroundings import choose_login, surroundings


@pytest.fixture
def around(tmp_path):
    return surroundings({"FORECARE_RUNTIME_DIR": str(tmp_path)})


def leave_login(around):
    around.demo_login.write_text(json.dumps({"email": "m@demo.example", "password": "p1"}))


def test_without_any_variable_the_platform_is_the_one_of_this_folder():
    found = surroundings({})

    assert found.api_url == "http://127.0.0.1:8000"
    assert (str(found.state), str(found.inbox)) == (".runtime/simulate", ".runtime/inbox")


def test_the_variables_that_move_the_platform_move_us_too():
    found = surroundings({"FORECARE_HTTP_PORT": "8123", "FORECARE_RUNTIME_DIR": "/srv/f"})

    assert found.api_url == "http://127.0.0.1:8123"
    assert str(found.demo_login) == "/srv/f/demo_login.json"


def test_the_login_of_the_demo_is_used_when_none_is_given(around):
    leave_login(around)

    assert choose_login(file=None, email="", password="", around=around).email == "m@demo.example"


def test_a_given_login_goes_first(around, tmp_path):
    leave_login(around)
    file = tmp_path / "mine.json"
    file.write_text('{"email": "f@x.example", "password": "p2"}')

    by_words = choose_login(file=None, email="e@x.example", password="p3", around=around)
    by_file = choose_login(file=file, email="", password="", around=around)

    assert (by_words.email, by_words.password) == ("e@x.example", "p3")
    assert (by_file.email, by_file.password) == ("f@x.example", "p2")


def test_without_a_login_the_error_says_how_to_make_an_account(around):
    with pytest.raises(SimulatorError) as caught:
        choose_login(file=None, email="", password="", around=around)

    assert "demo_login.json" in caught.value.message
    assert "forecare account add you@example.com --role manufacturer" in caught.value.hint


def test_an_address_without_a_password_is_half_a_login(around):
    leave_login(around)

    with pytest.raises(SimulatorError, match=r"no password for e@x\.example"):
        choose_login(file=None, email="e@x.example", password="", around=around)


@pytest.mark.parametrize("content", ["", "[]", '{"email": "x"}'])
def test_a_file_that_is_no_login_is_named(around, content):
    around.demo_login.write_text(content)

    with pytest.raises(SimulatorError, match=r"demo_login\.json is no login"):
        choose_login(file=None, email="", password="", around=around)
