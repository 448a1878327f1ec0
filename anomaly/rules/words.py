"""Says how a rule stands: the only place where its count becomes sentences. Pure.

Every sentence keeps its key and values, so that it can be said in another language.
"""

from anomaly.fleet.words import number
from anomaly.records import Sentence
from anomaly.rules.count import Tally

_TEMPLATES = {
    "demoted": "{mode}: {false} of {judged} warnings were wrong in {years} device-years, {allowed} were to be expected.",
    "inspects": "It opens no tickets any more; whoever comes to the device next looks at the part.",
    "counted": "{mode}: {false} of {judged} warnings were wrong in {years} device-years; {allowed} would be within the budget.",
    "waiting": "About {waiting} more nobody can say yet.",
    "reinstated": "Opens tickets again: {reason}. Counting begins anew.",
}


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
    made = [
        _sentence(
            "demoted" if is_demoted else "counted",
            mode=title,
            false=counted.false,
            judged=counted.judged,
            years=number(device_years),
            allowed=number(budget * device_years),
        )
    ]
    if counted.waiting:
        made.append(_sentence("waiting", waiting=counted.waiting))
    if is_demoted:
        made.append(_sentence("inspects"))
    return tuple(made)


def say_reinstated(reason: str) -> Sentence:
    return _sentence("reinstated", reason=reason)


def _sentence(key: str, **values: str | float | None) -> Sentence:
    return Sentence(key=key, values=dict(values), text=_TEMPLATES[key].format(**values))
