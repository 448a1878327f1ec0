"""Writes the catalogues of sentences anew from the code, or checks that they are up to date.

python tools/make_catalogues.py            # write: translations stay, new messages come without one
python tools/make_catalogues.py --check    # fail when a catalogue differs from the code

What is to be translated stands in anomaly/wording/locale/<language>/LC_MESSAGES/sentences.po, for any editor of
gettext catalogues. A language is added by its name in anomaly/wording/message.py and a run of this.
"""

import sys
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from anomaly.wording.message import LANGUAGES
from anomaly.wording.service import messages

_LOCALE = Path(__file__).resolve().parent.parent / "anomaly" / "wording" / "locale"
_HEADER = """# Sentences about devices, written by tools/make_catalogues.py; translations by hand.
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plural_forms}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def catalogue(language: str, before: Catalog | None = None) -> Catalog:
    """Return the catalogue of a language: every message, with its translation where there is one."""
    made = Catalog(locale=language)
    for context, message in messages().items():
        key = (message.text, message.many) if message.by else message.text
        known = before.get(key, context=context) if before is not None else None
        made.add(
            key, string=known.string if known is not None else "", context=context,
            user_comments=[f"{{{message.by}}} decides about the plural"] if message.by else [],
        )  # fmt: skip
    return made


def text_of(made: Catalog) -> bytes:
    """Write a catalogue as a file; nothing in its head changes with time or with a library's version."""
    out = BytesIO()
    write_po(out, made, width=100, omit_header=True)
    head = _HEADER.format(language=made.locale_identifier, plural_forms=made.plural_forms)
    return head.encode() + out.getvalue()


def main() -> None:
    stale = []
    for language in LANGUAGES[1:]:
        file = _LOCALE / language / "LC_MESSAGES" / "sentences.po"
        before = None
        if file.exists():
            with file.open("rb") as opened:
                before = read_po(opened, locale=language)
        wanted = text_of(catalogue(language, before))
        if file.exists() and file.read_bytes() == wanted:
            continue
        if "--check" in sys.argv[1:]:
            stale.append(str(file))
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wanted)
    if stale:
        sys.exit(f"not up to date, `make fix` writes them: {', '.join(stale)}")


if __name__ == "__main__":
    main()
