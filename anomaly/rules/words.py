"""Says how a rule stands: the only place where its count becomes sentences. Pure.

Every sentence keeps its key and values; `tell` says it in any language there is a voice for.
"""

from collections.abc import Mapping

from anomaly.fleet.words import number
from anomaly.records import Sentence
from anomaly.rules.count import Tally
from anomaly.wording.message import Message, Value, Voice, voice_of

MESSAGES = {
    "demoted": Message(
        "{mode}: {false} of {judged} warning was wrong in {years} device-years, {allowed} were to be expected.",
        "{mode}: {false} of {judged} warnings were wrong in {years} device-years, {allowed} were to be expected.",
        by="judged",
        numbers=("years", "allowed"),
    ),
    "inspects": Message(
        "It opens no tickets any more; whoever comes to the device next looks at the part."
    ),
    "counted": Message(
        "{mode}: {false} of {judged} warning was wrong in {years} device-years; {allowed} would be within the budget.",
        "{mode}: {false} of {judged} warnings were wrong in {years} device-years; {allowed} would be within the budget.",
        by="judged",
        numbers=("years", "allowed"),
    ),
    "unjudged": Message(
        "{mode}: no warning could be judged yet, in {years} device-years; {allowed} wrong ones would be within the budget.",
        numbers=("years", "allowed"),
    ),
    "waiting": Message(
        "{waiting} more cannot be judged yet.",
        "{waiting} more cannot be judged yet.",
        by="waiting",
    ),
    "reinstated": Message("Opens tickets again: {reason}. Counting begins anew."),
}


def tell(key: str, values: Mapping[str, Value], voice: Voice) -> str:
    """Say one sentence in the language of a voice.

    Raises
    ------
    KeyError
        If there is no such sentence, or a value is missing.
    """
    return voice.say(f"rules.{key}", MESSAGES[key], values)


def say_standing(
    title: str, counted: Tally, *, device_years: float, budget: float, is_demoted: bool
) -> tuple[Sentence, ...]:
    """Tell how often a rule was wrong, and what follows from it.

    Parameters
    ----------
    title : str
        The failure mode's.
    budget : float
        False alarms per device-year that are allowed.
    """
    rate = {"years": number(device_years), "allowed": number(budget * device_years)}
    if counted.judged:
        key = "demoted" if is_demoted else "counted"
        made = [_sentence(key, mode=title, false=counted.false, judged=counted.judged, **rate)]
    else:
        made = [_sentence("unjudged", mode=title, **rate)]
    if counted.waiting:
        made.append(_sentence("waiting", waiting=counted.waiting))
    if is_demoted:
        made.append(_sentence("inspects"))
    return tuple(made)


def say_reinstated(reason: str) -> Sentence:
    return _sentence("reinstated", reason=reason)


def _sentence(key: str, **values: Value) -> Sentence:
    return Sentence(key=key, values=dict(values), text=tell(key, values, voice_of("en")))
