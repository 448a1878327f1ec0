import pytest

from core.sql import Queries


def test_a_query_is_found_by_its_name() -> None:
    assert Queries("bench")["products"].startswith("select name from gateway.product")


def test_an_unknown_query_names_those_that_exist() -> None:
    with pytest.raises(KeyError, match="samples_by_device"):
        Queries("bench")["nonsense"]
