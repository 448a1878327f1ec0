"""Sentences in the reader's language: what can be said, and the voice that says it. Pure but for its catalogues.

English is written where a sentence is made (`evidence.py`, `fleet/words.py`, `drift/words.py`, `rules/words.py`); every
other language is a gettext catalogue of the same messages (`locale/<language>/LC_MESSAGES/sentences.po`).
"""

import gettext
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from io import BytesIO

import msgspec
from babel import Locale
from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "de")
"""English first: what a catalogue does not say is said in it."""
Value = str | float | int | None


class Message(msgspec.Struct, frozen=True):
    """A sentence, or a part of one, with values in braces."""

    text: str
    many: str = ""
    """Where the number of something decides about the words."""
    by: str = ""
    """Name of the value that is that number."""
    numbers: tuple[str, ...] = ()
    """Values that are decimal numbers, written in English."""
    days: tuple[str, ...] = ()
    """Values that are instants, ISO 8601, said as days: "12 Nov"."""


class Voice:
    """Says messages in one language.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = _catalogue(language)
        self._locale = Locale.parse(language)

    def say(self, context: str, message: Message, values: Mapping[str, Value]) -> str:
        """Fill a message with its values.

        Parameters
        ----------
        context : str
            Domain and key: the same English words may be different ones elsewhere.

        Raises
        ------
        KeyError
            If a value is missing.
        """
        said: dict[str, Value] = dict(values)
        said |= {name: self.number(str(values[name])) for name in message.numbers}
        said |= {name: self.day(str(values[name])) for name in message.days}
        if not message.by:
            return self._catalogue.pgettext(context, message.text).format(**said)
        number = int(float(values[message.by] or 0))
        return self._catalogue.npgettext(context, message.text, message.many, number).format(**said)

    def number(self, text: str) -> str:
        """Write a decimal number as this language does."""
        if self.language == "en":
            return text
        return text.replace(".", self._locale.number_symbols["latn"]["decimal"])

    def day(self, iso: str, *, is_long: bool = False) -> str:
        """Write an instant as a day: "12 Nov", "12 November"."""
        at = datetime.fromisoformat(iso)
        if self.language == "en":
            return f"{at.day} {at:%B}" if is_long else f"{at.day} {at:%b}"
        return str(format_skeleton("MMMMd" if is_long else "MMMd", at, locale=self._locale))

    def within(self, title: str) -> str:
        """Write a title within a sentence: English begins it small."""
        return title[:1].lower() + title[1:] if self.language == "en" else title


@cache
def voice_of(language: str) -> Voice:
    """Return the voice of a language; English for one that nobody has translated."""
    return Voice(language if language in LANGUAGES else LANGUAGES[0])


def _catalogue(language: str) -> gettext.NullTranslations:
    if language == LANGUAGES[0]:
        return gettext.NullTranslations()
    with po_file(language).open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def po_file(language: str) -> "resources.abc.Traversable":
    """Return where the catalogue of a language is kept."""
    return resources.files("anomaly.wording") / "locale" / language / "LC_MESSAGES" / "sentences.po"
