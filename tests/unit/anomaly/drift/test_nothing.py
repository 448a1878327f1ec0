"""What `forecare anomaly drift` says when it has nothing to show."""

import pytest

from anomaly.drift.commands import nothing_words


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], "nothing was compared yet"),
        (["unclear", "unclear"], "nobody can tell yet whether anything has drifted (2 looked at)"),
        (["steady", "unclear"], "nothing has drifted; of 1 of 2 nobody can tell yet"),
        (["steady", "steady"], "nothing has drifted (2 looked at)"),
    ],
)
def test_not_knowing_is_not_said_to_be_calm(states: list[str], said: str) -> None:
    assert nothing_words(states).startswith(said)
