"""JSON documents: how a change is merged, and what may be stored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.documents import check_document, is_same, merge
from gateway.pairs import parse_pairs, without

leaves = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=2)
)
keys = st.text("abc", min_size=1, max_size=2)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3)
)
documents = st.dictionaries(keys, values, max_size=4)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [  # RFC 7396, appendix A, those whose ends are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged_as_the_standard_says(
    document: dict[str, Any], patch: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert merge(document, patch) == merged


@given(documents, documents)
def test_the_same_patch_twice_is_one(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(document, patch)

    assert is_same(merge(once, patch), once)


@given(documents)
def test_a_document_merged_into_nothing_is_itself_without_its_nulls(
    document: dict[str, Any],
) -> None:
    assert is_same(merge({}, document), without_nulls(document))


@given(documents)
def test_merging_leaves_what_it_was_given_alone(document: dict[str, Any]) -> None:
    before = json.dumps(document)

    merge(document, {"a": {"b": 1}, "b": None})

    assert json.dumps(document) == before


def test_true_is_not_one_but_one_is_one_point_zero() -> None:
    assert is_same({"a": [1, {"b": 2}]}, {"a": [1.0, {"b": 2.0}]})
    assert not is_same({"a": True}, {"a": 1})
    assert not is_same({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}})


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"a": "x" * 9000}, "may take 8192"),
        ({"a": {"a": {"a": {"a": {"a": {}}}}}}, "deeper than 5 levels"),
        ({"a": [[[[[]]]]]}, "deeper than 5 levels"),
        ({"a": "x\0"}, "cannot be stored"),
        ({"a": "\ud800"}, "cannot be stored"),
        ({"a\n": 1}, "key that cannot be one"),
        ({"": 1}, "key that cannot be one"),
        ({"k" * 65: 1}, "key that cannot be one"),
        ({"a": 2**70}, "beyond 64 bits"),
        ({"a": float("inf")}, "no finite number"),
        ({"a": {"b": {1, 2}}}, "config.a.b is no JSON value"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    document: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidError, match=what):
        check_document(document, what="config")


def test_words_of_the_command_line_become_a_change() -> None:
    assert parse_pairs(["a=1", "b.c=2.5", "b.d=eco", 'e="7"', "f=true", "g=null", "h="]) == {
        "a": 1,
        "b": {"c": 2.5, "d": "eco"},
        "e": "7",
        "f": True,
        "g": None,
        "h": "",
    }
    assert without(["a", "b.c"]) == {"a": None, "b": {"c": None}}


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a..b=1"], ["a=1", "a=2"], ["a=1", "a.b=2"]])
def test_words_that_say_nothing_or_two_things_are_refused(pairs: list[str]) -> None:
    with pytest.raises(InvalidError):
        parse_pairs(pairs)
