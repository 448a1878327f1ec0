"""Simulated owners: read their mail, follow the link in it, choose a slot, or never answer."""

import mailbox
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from email.message import Message
from email.utils import getaddresses
from pathlib import Path
from typing import Any

from firmware_sim.technicians import seconds_of

_LINK = re.compile(r"https?://[^\s\"'<>]+?/t/([A-Za-z0-9._~-]+)")


def read_new_mail(inbox: Path, *, read: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    """Return (name, address, tokens) of each mail that has not been read; mails stay as they are.

    A mail's name is the part before the colon, which does not change when it moves to `cur`.
    """
    if not (inbox / "new").is_dir():
        return []
    known = set(read)
    found = []
    for path in sorted([*(inbox / "new").glob("*"), *(inbox / "cur").glob("*")]):
        name = path.name.partition(":")[0]
        if name in known:
            continue
        try:
            message = mailbox.MaildirMessage(path.read_bytes())
        except OSError:
            continue  # it is just being moved; next time
        addresses = getaddresses(message.get_all("To", []))
        found.append((name, addresses[0][1].lower() if addresses else "", tokens_in(message)))
    return found


def tokens_in(message: Message) -> list[str]:
    """The tokens of all links in the text part, each once, in order."""
    tokens: list[str] = []
    for part in message.walk():
        if part.get_content_type() != "text/plain":
            continue
        payload = part.get_payload(decode=True)
        text = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
        found = [token.rstrip(".") for token in _LINK.findall(text)]
        tokens += [token for token in dict.fromkeys(found) if token not in tokens]
    return tokens


def choose_slot(
    slots: Sequence[Mapping[str, Any]],
    *,
    now_s: int,
    due_s: int | None,
    turn: int,
    technicians: Collection[int] = (),
) -> Mapping[str, Any] | None:
    """Choose one of the first few slots that lie ahead, before the due date if there is such a one.

    Parameters
    ----------
    now_s : int
        Simulated time.
    turn : int
        Picks among them; counted up when a slot was taken by somebody else.
    technicians : collection of int
        Those who are simulated, too: nobody else would come. Empty: take anyone.
    """
    ahead = sorted(
        (
            slot
            for slot in slots
            if seconds_of(slot["starts_at"]) >= now_s
            and (not technicians or slot["technician_id"] in technicians)
        ),
        key=lambda slot: str(slot["starts_at"]),
    )
    in_time = [slot for slot in ahead if due_s is None or seconds_of(slot["ends_at"]) <= due_s]
    choice = in_time or ahead
    return choice[turn % min(3, len(choice))] if choice else None
