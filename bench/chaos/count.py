"""Holds the ledger against what the database has in the end. Pure.

After Jepsen's set checker: a message counts as lost only if it was confirmed and is absent from the
final read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from bench.chaos.ledger import Entries, MessageKey
from bench.chaos.payloads import Kind, Message, Recipe
from bench.chaos.store import Letter, Repeats, Row

_NUMBER_BITS = 54


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Messages, unless the name says something else."""

    attempted: int
    acknowledged: int
    confirmed: int
    stored: int
    """Of the attempted: in the table as they were made, or, refused, among the dead letters."""
    lost: int
    """Confirmed and not stored."""
    missing_after_resend: int
    """Attempted and not stored, when the devices had nothing left to send."""
    rows: int
    rows_twice: int
    unexpected_rows: int
    """Rows that nobody has sent so."""
    repeats_absorbed: int
    """Rows and letters that came more than once and stand there once."""
    letters_expected: int
    letters_found: int
    letters_unexpected: int
    letters_without_reason: int
    letters_by_reason: Mapping[str, int] = field(default_factory=dict)
    poison: int = 0
    """Messages of the ledger that nobody may store, and escorts."""
    wrong_clock: int = 0

    @property
    def letters_missing(self) -> int:
        return self.letters_expected - self.letters_found


class _Found:
    """What the database has."""

    def __init__(self, rows: Iterable[Row], letters: Iterable[Letter]) -> None:
        self.rows: dict[int, tuple[int, int]] = {}
        self.row_count = 0
        for row in rows:
            self.row_count += 1
            self.rows[_row_key(row.device, row.number)] = (row.level, row.measured_ms)
        self.letters: set[tuple[int, bytes]] = set()
        self.by_reason: Counter[str] = Counter()
        for letter in letters:
            self.letters.add((letter.device, letter.digest))
            self.by_reason[letter.reason] += 1
        self.rows_met = 0
        self.letters_met: set[tuple[int, bytes]] = set()

    def has_letter(self, device: int, payload: bytes) -> bool:
        key = (device, sha256(payload).digest())
        if key not in self.letters:
            return False
        self.letters_met.add(key)
        return True

    def has_rows(self, device: int, message: Message) -> bool:
        met = 0
        for sample in message.samples:
            found = self.rows.get(_row_key(device, sample.number))
            # A wrong clock's time may have been replaced; the value never is.
            is_right = found == (sample.level, sample.measured_ms) or (
                message.kind is Kind.WRONG_CLOCK and found is not None and found[0] == sample.level
            )
            met += is_right
        self.rows_met += met
        return met == len(message.samples)


def count_up(
    entries: Entries,
    recipe: Recipe,
    *,
    rows: Iterable[Row],
    letters: Iterable[Letter],
    repeats: Repeats,
) -> Counts:
    """Count what was promised and what was kept."""
    found = _Found(rows, letters)
    tally: Counter[str] = Counter()
    for key, message in _messages(entries, recipe):
        is_confirmed = entries.is_confirmed(key)
        is_stored = _is_stored(found, key[0], message)
        tally["confirmed"] += is_confirmed
        tally["stored"] += is_stored
        tally["lost"] += is_confirmed and not is_stored
        tally[message.kind.value] += 1
        tally["expected"] += message.kind is Kind.POISON
        tally["found"] += message.kind is Kind.POISON and is_stored
        if message.escort is not None:
            tally["expected"] += 1
            tally["found"] += found.has_letter(key[0], message.escort)
    return Counts(
        attempted=len(entries.attempted),
        acknowledged=len(entries.acknowledged),
        confirmed=tally["confirmed"],
        stored=tally["stored"],
        lost=tally["lost"],
        missing_after_resend=len(entries.attempted) - tally["stored"],
        rows=found.row_count,
        rows_twice=found.row_count - len(found.rows),
        unexpected_rows=len(found.rows) - found.rows_met,
        repeats_absorbed=repeats.rows + repeats.letters,
        letters_expected=tally["expected"],
        letters_found=tally["found"],
        letters_unexpected=len(found.letters - found.letters_met),
        letters_without_reason=found.by_reason[""],
        letters_by_reason=dict(sorted(found.by_reason.items())),
        poison=tally["expected"],
        wrong_clock=tally[Kind.WRONG_CLOCK.value],
    )


def _is_stored(found: _Found, device: int, message: Message) -> bool:
    if message.kind is Kind.GOOD:
        return found.has_rows(device, message)
    if message.kind is Kind.POISON:
        return found.has_letter(device, message.payload)
    # Refused for its time, or stored with the time of the server: one of them, never neither.
    is_refused = found.has_letter(device, message.payload)
    return found.has_rows(device, message) or is_refused


def _messages(entries: Entries, recipe: Recipe) -> Iterator[tuple[MessageKey, Message]]:
    return ((key, recipe.message(*key)) for key in entries.attempted)


def _row_key(device: int, number: int) -> int:
    return (device + 1) << _NUMBER_BITS | (number & ((1 << _NUMBER_BITS) - 1))
