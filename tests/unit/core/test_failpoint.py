import pytest

from core.errors import InvalidError
from core.failpoint import failpoint, set_up_failpoints


@pytest.fixture(autouse=True)
def _switch_off():
    yield
    set_up_failpoints("")


@pytest.mark.parametrize("text", ["", "other:kill:1", "here:kill:0", "other:kill:1,here:kill:0"])
def test_a_point_that_nobody_named_or_that_never_fires_is_passed(text: str) -> None:
    set_up_failpoints(text)

    failpoint("here")


@pytest.mark.parametrize(
    "part",
    [
        "here",
        "here:kill",
        "here:kill:",
        "here:kill:often",
        "here:kill:2",
        "here:kill:nan",
        "here:stop:1",
        ":kill:1",
        "here:kill:1:1",
    ],
)
def test_a_part_that_says_nothing_is_refused_with_its_remedy(part: str) -> None:
    with pytest.raises(InvalidError, match="FORECARE_FAILPOINT") as caught:
        set_up_failpoints(f"fine:kill:0.5,{part}")

    assert "NAME:kill:PROBABILITY" in caught.value.hint
