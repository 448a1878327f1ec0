"""What others may call: say a kept sentence in the reader's language."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from anomaly import evidence
from anomaly.drift import words as drift
from anomaly.fleet import words as fleet
from anomaly.rules import words as rules
from anomaly.wording.message import LANGUAGES, Message, Value, Voice, voice_of

__all__ = ["LANGUAGES", "Domain", "Said", "messages", "said"]

Domain = Literal["evidence", "fleet", "drift", "rules"]
"""Of whom a sentence speaks: a device, a group of devices, what was learned, a rule."""

_TELL: Mapping[Domain, Callable[[str, Mapping[str, Value], Voice], str]] = {
    "evidence": evidence.tell,
    "fleet": fleet.tell,
    "drift": drift.tell,
    "rules": rules.tell,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A sentence, and the language that it is in."""

    text: str
    language: str


def said(domain: Domain, sentence: Mapping[str, Any], *, language: str) -> Said:
    """Say a sentence anew from its key and values.

    One that was kept by an earlier version, with English among its values, stays as it was said then.

    Parameters
    ----------
    sentence : mapping
        An `anomaly.records.Sentence` as it is stored: key, values, text.
    """
    text = str(sentence.get("text") or "")
    if language == LANGUAGES[0] or language not in LANGUAGES:
        return Said(text=text, language=LANGUAGES[0])
    try:
        told = _TELL[domain](str(sentence["key"]), sentence["values"], voice_of(language))
    except (KeyError, ValueError, TypeError):
        return Said(text=text, language=LANGUAGES[0])
    return Said(text=told, language=language)


def messages() -> dict[str, Message]:
    """Return all that a catalogue translates, by context."""
    found = {
        "evidence": evidence.MESSAGES,
        "fleet": fleet.MESSAGES,
        "drift": drift.MESSAGES,
        "rules": rules.MESSAGES,
    }
    return {
        f"{domain}.{key}": message for domain, own in found.items() for key, message in own.items()
    }
