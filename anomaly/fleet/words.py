"""Says what is known of a group: the only place where an emerging issue becomes sentences. Pure.

Every sentence keeps its key and values, so that it can be said in another language.
"""

from collections.abc import Sequence
from datetime import datetime

from anomaly.fleet.overlap import Overlap
from anomaly.fleet.standing import FAILURES_MIN, Standing
from anomaly.records import Sentence

_TEMPLATES = {
    "failed": "{group}: {failures} of {devices} devices failed ({mode}), {expected} expected at this age{since}.",
    "signs": "{group}: {signs} of {devices} devices show signs of {mode}, {expected} expected at this age.",
    "more_signs": "{signs} devices show signs of it, {expected} expected.",
    "ratio": "That is {ratio} times as often as others of the same age (95 % range: {low} to {high}).",
    "well": "{well} devices of the group are still well.",
    "inseparable": "The same {shared} devices also share {other}: the failures do not tell which of the two it is.",
    "explained_by": "{shared} of these devices share {other}, and that alone explains it: the rest of the group is as others are.",
    "explains": "{other} stands out because of these devices: {shared} of its {others} are among them.",
    "apart": "{shared} of these devices also share {other}; the group stands out by itself.",
    "stands_out": "It stands out from all groups that are looked at.",
    "may_stand_out": "It is watched: chance is not ruled out yet.",
    "back_to_normal": "It no longer fails more often than others.",
    "none_left": "No well device of the group is left.",
    "within_chance": "It no longer differs from others by more than chance.",
}
_TRAITS = {"lot": "Lot {}", "firmware": "Firmware {}", "city": "Devices in {}", "product": "{}"}


def group_name(trait: str, value: str) -> str:
    """Name a group: "Lot B7"."""
    return _TRAITS.get(trait, trait.capitalize() + " {}").format(value)


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
    name = group_name(standing.group.trait, standing.group.value)
    title = mode[:1].lower() + mode[1:]
    made = []
    if standing.failures or standing.signs < FAILURES_MIN:
        made.append(
            _sentence(
                "failed",
                group=name,
                failures=standing.failures,
                devices=standing.devices,
                mode=title,
                expected=number(standing.expected),
                since=f"; since {since.day} {since:%B}" if since else "",
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
                group=name,
                signs=standing.signs,
                devices=standing.devices,
                mode=title,
                expected=number(standing.expected_signs),
            )
        )
    made.append(_sentence("well", well=standing.well))
    made += [
        _sentence(
            overlap.kind,
            shared=overlap.shared,
            others=overlap.devices,
            other=_within(group_name(overlap.trait, overlap.value)),
        )
        for overlap in overlaps
    ]
    made.append(_sentence(reason))
    return tuple(made)


def number(value: float) -> str:
    """Write a count or a ratio with as many decimals as it deserves."""
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def _within(name: str) -> str:
    """Write a group's name within a sentence."""
    return name[:1].lower() + name[1:]


def _sentence(key: str, **values: str | float | None) -> Sentence:
    text = _TEMPLATES[key].format(**values)
    return Sentence(key=key, values=dict(values), text=text)
