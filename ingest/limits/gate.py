"""Holds a batch against the limits of its senders, for one ingest process.

What is withheld of a numbered message is nothing at all: it is not stored and not confirmed, so
`stored` stops before it and the device, which still has it, sends it again. A message without a number
will not come again: it is kept as a dead letter, up to a bound for each device and day. The broker
hears the same as ever: every message is acknowledged in its turn, and nobody is disconnected.

The state lives in memory. A crash before the COMMIT forgets what this batch took: its messages come
again and are counted again, from full buckets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.log import get_logger
from core.pool import Connection
from core.product import Allowance, Product
from core.units import to_epoch_ms
from gateway.session import Arrival
from gateway.sheet_limits import read_allowances
from gateway.topics import answer_topic
from ingest.limits import store
from ingest.limits.buckets import Buckets, Kind, Overrun, Taken, kinds_of_allowances
from ingest.limits.service import most_generous
from ingest.limits.store import NewBreach
from ingest.records import NO_BOOT, Admission, Columns, Device, Integers, Messages, Refusal, Refused

log = get_logger("ingest")

LETTERS_A_DAY = 10_000
"""Messages without a number that are kept of one device in a day because of a limit."""
_REFRESH_EVERY_S = 5.0


class Registry(Protocol):
    """Who sends what."""

    def device_of(self, topic: str) -> Device | None:
        """Return the device that writes to a topic; None when there is none."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is told on `limit`."""

    limit: str
    allowed: str
    resets_at: int
    """Milliseconds since 1970."""
    boot: int | None = None
    seq: int | None = None
    """First message that was not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """The messages of one device that one limit withholds."""

    device_id: int
    place: int
    """In the batch, of the first of them."""
    subject: str
    overrun: Overrun
    letters: Sequence[Refused]
    """Those without a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of a batch at the gate."""

    admission: Admission
    """Without what is withheld."""
    withheld: Sequence[Withheld] = ()
    notices: Sequence[tuple[str, bytes]] = ()
    """Topic and payload, to be published after the COMMIT."""
    places: Integers | None = None
    """In the batch, of what is withheld; None: nothing is."""

    def again(self, admission: Admission) -> "Held":
        """Return the same verdict about the same messages, checked once more."""
        if self.places is None:
            return replace(self, admission=admission)
        return replace(self, admission=_without(admission, self.places))


class Gate:
    """The limits of all senders of one ingest process.

    Parameters
    ----------
    registry : Registry
    share : float
        Which part of all devices this process takes: its part of a manufacturer's allowance.
    """

    def __init__(self, registry: Registry, *, share: float = 1.0) -> None:
        self._registry = registry
        self._share = share
        self._products: dict[str, Product] = {}
        self._new: dict[int, str] = {}
        """Products of the devices of this batch that have no buckets yet."""
        self._own: dict[str, dict[tuple[int, str], str]] = {"device": {}, "manufacturer": {}}
        self._manufacturers: dict[str, int] = {}
        self._refreshed_s = float("-inf")
        self._devices = Buckets(self._device_kinds)
        self._makers = Buckets(self._manufacturer_kinds)

    def refresh(
        self, connection: Connection, products: Mapping[str, Product], *, now_s: float
    ) -> None:
        """Read what was set by hand; a change begins with full buckets."""
        is_new = any(products.get(n) is not p for n, p in self._products.items())
        if (
            not is_new
            and now_s - self._refreshed_s < _REFRESH_EVERY_S
            and (products.keys() <= self._products.keys())
        ):
            return
        own = {subject: store.allowances(connection, subject) for subject in self._own}
        manufacturers = store.manufacturers(connection)
        if (own, manufacturers) != (self._own, self._manufacturers) or is_new:
            self._devices.forget()
            self._makers.forget()
        self._products = dict(products)
        self._own, self._manufacturers, self._refreshed_s = own, manufacturers, now_s

    def hold(
        self,
        admission: Admission,
        arrivals: Sequence[Arrival],
        *,
        now: datetime,
        now_s: float,
    ) -> Held:
        """Withhold what is more than allowed. Touches no database."""
        messages = admission.messages
        if not len(messages):
            return Held(admission=admission)
        self._new = self._products_of_new(messages, arrivals)
        taken = self._devices.take(messages.device_ids, messages.values, now_s=now_s)
        passed = np.ones(len(messages), dtype=np.bool_)
        if taken.withheld is not None:
            passed &= ~taken.withheld
        maker_ids = self._makers_of(messages, arrivals)
        makers = self._take_makers(maker_ids, messages, passed, now_s=now_s)
        for subject, found in (("device", taken), ("manufacturer", makers)):
            for sender in found.relieved:
                log.info("limit.kept_again", subject=subject, subject_id=sender)
        if passed.all():
            return Held(admission=admission)
        batch = _Batch(arrivals=arrivals, messages=messages, maker_ids=maker_ids, now=now)
        over = {("device", o.sender): o for o in taken.overruns}
        over |= {("manufacturer", o.sender): o for o in makers.overruns}
        withheld = [
            self._withheld(batch, np.flatnonzero(~passed & (messages.device_ids == device)), over)
            for device in np.unique(messages.device_ids[~passed]).tolist()
        ]
        places = messages.places[~passed]
        return Held(
            admission=_without(admission, places),
            places=places,
            withheld=withheld,
            notices=[_notice(batch, one, now_s=now_s) for one in withheld],
        )

    def _products_of_new(self, messages: Messages, arrivals: Sequence[Arrival]) -> dict[int, str]:
        new = self._devices.unknown(messages.device_ids)
        if not len(new):
            return {}
        rows = np.flatnonzero(np.isin(messages.device_ids, new))
        return {
            device: self._product_at(arrivals[place])
            for device, place in zip(
                messages.device_ids[rows].tolist(), messages.places[rows].tolist(), strict=True
            )
        }

    def _product_at(self, arrival: Arrival) -> str:
        device = self._registry.device_of(arrival.topic)
        return device.product if device else ""

    def _makers_of(self, messages: Messages, arrivals: Sequence[Arrival]) -> Integers:
        """Return whose each message is; where there is one manufacturer, nobody needs to look."""
        makers = set(self._manufacturers.values())
        if len(makers) <= 1:
            return np.full(len(messages), next(iter(makers), 0), dtype=np.int64)
        number = self._manufacturers
        found = [
            number.get(self._product_at(arrivals[place]), 0) for place in messages.places.tolist()
        ]
        return np.array(found, dtype=np.int64)

    def _take_makers(
        self,
        maker_ids: Integers,
        messages: Messages,
        passed: NDArray[np.bool_],
        *,
        now_s: float,
    ) -> Taken:
        """Count what the devices' own limits let pass; changes `passed`."""
        places = np.flatnonzero(passed)
        taken = self._makers.take(maker_ids[places], messages.values[places], now_s=now_s)
        if taken.withheld is not None:
            passed[places[taken.withheld]] = False
        return taken

    def _withheld(
        self, batch: "_Batch", which: NDArray[np.intp], over: Mapping[tuple[str, int], Overrun]
    ) -> Withheld:
        messages = batch.messages
        device = int(messages.device_ids[which[0]])
        maker = int(batch.maker_ids[which[0]])
        subject = "device" if ("device", device) in over else "manufacturer"
        overrun = over[subject, device if subject == "device" else maker]
        mute = which[messages.boots[which] == NO_BOOT]
        return Withheld(
            device_id=device,
            place=int(messages.places[which[0]]),
            subject=subject,
            overrun=overrun,
            letters=[
                batch.letter(place, _limit_name(subject, overrun))
                for place in messages.places[mute].tolist()
            ],
        )

    def _device_kinds(self, device_id: int) -> Sequence[Kind]:
        product = self._products.get(self._new.get(device_id, ""))
        if product is None:
            return ()
        limits = product.limits
        return self._kinds("device", device_id, limits.device_messages, limits.device_values)

    def _manufacturer_kinds(self, manufacturer_id: int) -> Sequence[Kind]:
        sheets = [
            product
            for name, product in self._products.items()
            if self._manufacturers.get(name) == manufacturer_id
        ]
        return self._kinds(
            "manufacturer",
            manufacturer_id,
            most_generous(sheets, "messages"),
            most_generous(sheets, "values"),
            share=self._share,
        )

    def _kinds(
        self,
        subject: str,
        sender: int,
        messages: Sequence[Allowance],
        values: Sequence[Allowance],
        *,
        share: float = 1.0,
    ) -> Sequence[Kind]:
        own = self._own[subject]
        by_hand = {
            counts: read_allowances(own[sender, counts])
            for counts in ("messages", "values")
            if (sender, counts) in own
        }
        return kinds_of_allowances(
            by_hand.get("messages", messages), by_hand.get("values", values), share=share
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What is needed to say whose message was withheld."""

    arrivals: Sequence[Arrival]
    messages: Messages
    maker_ids: Integers
    now: datetime

    def letter(self, place: int, limit: str) -> Refused:
        arrival = self.arrivals[place]
        return Refused(
            device_name=arrival.topic.split("/")[2],
            topic=arrival.topic,
            payload=arrival.payload,
            reason=Refusal.OVER_LIMIT,
            detail=f"{limit}, and the message has no number with which it could be sent again",
            received_at=self.now,
        )


def save_held(connection: Connection, held: Held, *, now: datetime, now_s: float) -> list[Refused]:
    """Write down who has met a limit; return the letters that are to be kept. Never commits."""
    kept: list[Refused] = []
    by_overrun: dict[tuple[str, int], list[int]] = {}
    overruns: dict[tuple[str, int], Overrun] = {}
    for one in held.withheld:
        key = (one.subject, one.overrun.sender)
        overruns[key] = one.overrun
        numbers = by_overrun.setdefault(key, [0, 0])
        if one.letters:
            so_far = store.letters_kept(connection, one.letters[0].device_name, now=now)
            letters = one.letters[: max(0, LETTERS_A_DAY - so_far)]
            kept += letters
            numbers[0] += len(letters)
            numbers[1] += len(one.letters) - len(letters)
    for (subject, sender), (letters_new, unkept) in by_overrun.items():
        overrun = overruns[subject, sender]
        if overrun.is_new:
            log.info("limit.met", subject=subject, subject_id=sender,
                     limit=_limit_name(subject, overrun), messages=overrun.messages)  # fmt: skip
        store.save_breach(
            connection,
            NewBreach(
                subject=subject,
                subject_id=sender,
                counts=overrun.kind.counts,
                allowed=overrun.kind.allowance.text,
                resets_at=_resets_at(overrun, now=now, now_s=now_s),
                messages=overrun.messages,
                metric_values=overrun.values,
                letters=letters_new,
                unkept=unkept,
            ),
            now=now,
        )
    return kept


def _notice(batch: _Batch, one: Withheld, *, now_s: float) -> tuple[str, bytes]:
    """Tell a device once a batch which limit it has met, and when to send again."""
    messages = batch.messages
    (row,) = np.flatnonzero(messages.places == one.place)
    is_numbered = messages.boots[row] != NO_BOOT
    notice = Notice(
        limit=f"{one.subject}.{one.overrun.kind.counts}",
        allowed=one.overrun.kind.allowance.text,
        resets_at=to_epoch_ms(_resets_at(one.overrun, now=batch.now, now_s=now_s)),
        boot=int(messages.boots[row]) if is_numbered else None,
        seq=int(messages.seqs[row]) if is_numbered else None,
    )
    topic = answer_topic(batch.arrivals[one.place].topic, kind="limit")
    return topic, msgspec.json.encode(notice)


def _resets_at(overrun: Overrun, *, now: datetime, now_s: float) -> datetime:
    return now + timedelta(seconds=max(0.0, overrun.resets_s - now_s))


def _limit_name(subject: str, overrun: Overrun) -> str:
    return f"over the limit {subject}.{overrun.kind.counts} ({overrun.kind.allowance.text})"


def _without(admission: Admission, places: Integers) -> Admission:
    """Leave out the messages at these places: as if they had not come."""
    messages = admission.messages
    keep = ~np.isin(messages.places, places)
    columns: dict[str, Columns] = {}
    for name, block in admission.columns.items():
        rows = ~np.isin(block.order, places)
        if rows.any():
            columns[name] = Columns(
                **{f.name: getattr(block, f.name)[rows] for f in fields(Columns)}
            )
    # A message that is refused for another reason stays a dead letter: it is no sample.
    withheld = set(places.tolist())
    return replace(
        admission,
        columns=columns,
        shifted=[one for one in admission.shifted if one.place not in withheld],
        messages=Messages(**{f.name: getattr(messages, f.name)[keep] for f in fields(Messages)}),
    )
