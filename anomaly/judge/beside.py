"""Sends the controls through the same policy as the model, so that they can stand beside it. Pure, given a seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from anomaly.judge.controls import Control, Part, fit_controls
from anomaly.judge.lives import lives_of
from anomaly.judge.told import Told
from anomaly.policy import Policy
from anomaly.records import FloatArray
from anomaly.runs import Breaks, Rows, runs_of
from anomaly.threshold import threshold_for_count

Choose = Callable[[Rows, Breaks], Policy]
"""From scores of the calibration part to a frozen policy: the very rule by which the model got its threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Parts of a recording, one after the other and a horizon apart, of one failure mode; how alerts came of them."""

    train: Part
    calibration: Part
    test: Part
    policy: Policy
    """The model's: its confirmations and cool-down hold for controls too."""
    choose: Choose
    """How the model's threshold was chosen on calibration rows."""


def controls_told(
    told: Told, course: Course, *, seed: int, alert_horizon: int = 0
) -> dict[str, Told]:
    """Let each control forecast the rows that the model forecast.

    The control that is always on gets a threshold that it always passes, and the random one alarms as often
    as the model; the others get theirs as the model got its own.

    Parameters
    ----------
    told : Told
        What the model said about the test part.
    course : Course
        The test part's rows are those of `told`.
    seed : int
    alert_horizon : int
        Which of the horizons the policy looks at: its place.
    """
    fitted = [fit_controls(course.train, horizon_hours=h, seed=seed) for h in told.horizons_hours]
    breaks = _breaks(course.test)
    found = {}
    for name in fitted[0]:
        own = [one[name] for one in fitted]
        probability = np.column_stack([control.score(course.test) for control in own])
        probability[np.isnan(told.probability)] = np.nan
        rows = _rows(course.test, probability[:, alert_horizon])
        if name == "always_on":
            chosen = course.policy.at(0.5)
        elif name == "random":
            chosen = threshold_for_count(course.policy, rows, count=len(told.runs), breaks=breaks)
        else:
            chosen = _chosen(course, own[alert_horizon])
        found[name] = replace(
            told,
            probability=probability,
            runs=runs_of(chosen, rows, breaks),
            life_hours=None,
            life_shares=(),
        )
    return found


def _chosen(course: Course, control: Control) -> Policy:
    rows = _rows(course.calibration, control.score(course.calibration))
    return course.choose(rows, _breaks(course.calibration))


def _rows(part: Part, score: FloatArray) -> Rows:
    return Rows(device=part.frame.device, at_us=part.frame.at_us, score=score)


def _breaks(part: Part) -> Breaks:
    return lives_of(part.catalog, part.histories, mode=part.mode).breaks
