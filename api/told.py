"""Says what is kept of evidence, groups, drift and rules in the reader's language. Pure but for that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from anomaly.wording.service import Domain, said
from api import records
from api.language import language
from api.records import Json, Sentence

Row = TypeVar("Row")


_DOMAINS: Mapping[type[Any], Domain] = {
    records.EmergingIssue: "fleet",
    records.Rule: "rules",
    records.Drift: "drift",
}


def row(found: Row) -> Row:
    """Say what is kept in one record."""
    changes: dict[str, object] = {}
    domain = _DOMAINS.get(type(found))
    if domain is not None:
        changes["sentences"] = sentences(domain, getattr(found, "sentences", ()))
    kept = getattr(found, "evidence", None)
    if isinstance(kept, dict):
        changes["evidence"] = evidence(kept)
    if not changes:
        return found
    changed: Row = replace(found, **changes)  # type: ignore[type-var]
    return changed


def sentences(domain: Domain, kept: Sequence[Mapping[str, Any]]) -> list[Sentence]:
    """Say what is kept of a group, of drift or of a rule."""
    return [_sentence(domain, one) for one in kept]


def evidence(kept: Json | None) -> Json | None:
    """Say the sentences of a forecast's or a detection's evidence, or of a ticket's snapshot of it.

    A snapshot has the texts once more, beside the evidence that it was made of: they get key and values back.
    """
    if not kept:
        return kept
    inner = kept.get("evidence")
    told = dict(kept)
    if isinstance(inner, Mapping):
        texts = {one.get("text"): _again(one) for one in _list(inner, "sentences") if _is_kept(one)}
        told["evidence"] = _all(inner)
        told["sentences"] = [
            texts.get(one, one) if isinstance(one, str) else one for one in _list(kept, "sentences")
        ]
        return told
    return _all(kept)


def _all(kept: Mapping[str, Any]) -> Json:
    told = dict(kept)
    for key in ("sentences", "caveats"):
        if key in told:
            told[key] = [_again(one) if _is_kept(one) else one for one in _list(kept, key)]
    return told


def _again(kept: Mapping[str, Any]) -> Json:
    one = said("evidence", kept, language=language())
    return {**kept, "text": one.text, "language": one.language}


def _sentence(domain: Domain, kept: Mapping[str, Any]) -> Sentence:
    one = said(domain, kept, language=language())
    return Sentence(
        key=str(kept.get("key", "")),
        values=dict(kept.get("values") or {}),
        text=one.text,
        language=one.language,
    )


def _is_kept(one: object) -> bool:
    return isinstance(one, Mapping) and "key" in one


def _list(mapping: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = mapping.get(key)
    return value if isinstance(value, list) else []
