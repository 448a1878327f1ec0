"""Says what is known of a group: the only place where an emerging issue becomes sentences. Pure.

Every sentence keeps its key and values; `tell` says it in any language there is a voice for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from anomaly.fleet.overlap import Overlap
from anomaly.fleet.standing import FAILURES_MIN, Standing
from anomaly.records import Sentence
from anomaly.wording.message import Message, Value, Voice, voice_of

MESSAGES = {
    "failed": Message(
        "{group}: {failures} of {devices} device failed ({mode}), {expected} expected at this age{since}.",
        "{group}: {failures} of {devices} devices failed ({mode}), {expected} expected at this age{since}.",
        by="devices",
        numbers=("expected",),
    ),
    "since": Message("; since {day}"),
    "signs": Message(
        "{group}: {signs} of {devices} device shows signs of {mode}, {expected} expected at this age.",
        "{group}: {signs} of {devices} devices show signs of {mode}, {expected} expected at this age.",
        by="devices",
        numbers=("expected",),
    ),
    "more_signs": Message(
        "{signs} device shows signs of it, {expected} expected.",
        "{signs} devices show signs of it, {expected} expected.",
        by="signs",
        numbers=("expected",),
    ),
    "ratio": Message(
        "That is {ratio} times as often as others of the same age (95 % range: {low} to {high}).",
        numbers=("ratio", "low", "high"),
    ),
    "well": Message(
        "{well} device of the group is still well.",
        "{well} devices of the group are still well.",
        by="well",
    ),
    "inseparable": Message(
        "The same {shared} device also shares {other}: the failures do not tell which of the two it is.",
        "The same {shared} devices also share {other}: the failures do not tell which of the two it is.",
        by="shared",
    ),
    "explained_by": Message(
        "{shared} of these devices shares {other}, and that alone explains it: the rest of the group is as others are.",
        "{shared} of these devices share {other}, and that alone explains it: the rest of the group is as others are.",
        by="shared",
    ),
    "explains": Message(
        "{other} stands out because of these devices: {shared} of its {others} is among them.",
        "{other} stands out because of these devices: {shared} of its {others} are among them.",
        by="shared",
    ),
    "apart": Message(
        "{shared} of these devices also shares {other}; the group stands out by itself.",
        "{shared} of these devices also share {other}; the group stands out by itself.",
        by="shared",
    ),
    "stands_out": Message("It stands out from all groups that are looked at."),
    "may_stand_out": Message("It is watched: chance is not ruled out yet."),
    "back_to_normal": Message("It no longer fails more often than others."),
    "none_left": Message("No well device of the group is left."),
    "within_chance": Message("It no longer differs from others by more than chance."),
    "lot": Message("Lot {value}"),
    "firmware": Message("Firmware {value}"),
    "city": Message("Devices in {value}"),
    "product": Message("{value}"),
}
_GROUPED = ("failed", "signs")
_OVERLAPS = ("inseparable", "explained_by", "explains", "apart")


def group_name(trait: str, value: str, voice: Voice | None = None) -> str:
    """Name a group: "Lot B7"."""
    named = {"value": value}
    if trait not in MESSAGES:
        return Message(trait.capitalize() + " {value}").text.format(**named)
    return _say(voice or voice_of("en"), trait, named)


def tell(key: str, values: Mapping[str, Value], voice: Voice) -> str:
    """Say one sentence in the language of a voice.

    Raises
    ------
    KeyError
        If there is no such sentence, or a value is missing.
    """
    said = dict(values)
    if key in _GROUPED:
        since = values["since_at"]
        day = voice.day(str(since), is_long=True) if since else ""
        said["since"] = _say(voice, "since", {"day": day}) if day else ""
        said["group"] = group_name(str(values["trait"]), str(values["value"]), voice)
        said["mode"] = voice.within(str(values["mode"]))
    elif key in _OVERLAPS:
        name = group_name(str(values["trait"]), str(values["value"]), voice)
        said["other"] = voice.within(name)
    return _say(voice, key, said)


def _say(voice: Voice, key: str, values: Mapping[str, Value]) -> str:
    return voice.say(f"fleet.{key}", MESSAGES[key], values)


def say(
    standing: Standing,
    *,
    reason: str,
    mode: str,
    since: datetime | None,
    overlaps: Sequence[Overlap],
) -> tuple[Sentence, ...]:
    """Tell about one group, the most important first.

    Parameters
    ----------
    reason : str
        Of its state, an `issue.Reason`.
    mode : str
        The failure mode's title.
    since : datetime or None
        When the run of failures began, event time.
    """
    group = {"trait": standing.group.trait, "value": standing.group.value, "mode": mode}
    since_at = since.isoformat() if since else None
    made = []
    if standing.failures or standing.signs < FAILURES_MIN:
        made.append(
            _sentence(
                "failed",
                failures=standing.failures,
                devices=standing.devices,
                expected=number(standing.expected),
                since_at=since_at,
                **group,
            )
        )
        made.append(
            _sentence(
                "ratio",
                ratio=number(standing.ratio),
                low=number(standing.ratio_low),
                high=number(standing.ratio_high),
            )
        )
        if standing.signs:
            made.append(
                _sentence(
                    "more_signs", signs=standing.signs, expected=number(standing.expected_signs)
                )
            )
    else:
        made.append(
            _sentence(
                "signs",
                signs=standing.signs,
                devices=standing.devices,
                expected=number(standing.expected_signs),
                since_at=None,
                **group,
            )
        )
    made.append(_sentence("well", well=standing.well))
    made += [
        _sentence(
            overlap.kind,
            shared=overlap.shared,
            others=overlap.devices,
            trait=overlap.trait,
            value=overlap.value,
        )
        for overlap in overlaps
    ]
    made.append(_sentence(reason))
    return tuple(made)


def number(value: float) -> str:
    """Write a count or a ratio with as many decimals as it deserves."""
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def _sentence(key: str, **values: Value) -> Sentence:
    return Sentence(key=key, values=dict(values), text=tell(key, values, voice_of("en")))
