"""A lot with a bad part: most of its devices wear out in the same way, spread over the run. Pure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from firmware_sim.model import Model
from firmware_sim.plan import DAY_S, Failure, Plan

SHARE = 0.9
"""Of the lot's devices to which nothing else happens."""
_LIFE_DAYS = (18.0, 30.0)
"""From the first wear to the failure, in a run of 60 days."""


def with_bad_lot(  # noqa: PLR0913 - what a draw needs, by keyword
    plan: Plan,
    models: Sequence[Model],
    lots: Sequence[str],
    *,
    lot: str,
    start_s: int,
    days: float,
    seed: int,
) -> Plan:
    """Add the failures of a bad lot, last in `failures`; all the rest of the plan stays as it was.

    In each product it is the first of its gradual failure modes.
    """
    busy = {f.device for f in plan.failures} | {f.device for f in plan.sensor_faults}
    members = [i for i, own in enumerate(lots) if own == lot and i not in busy]
    rng = np.random.default_rng([seed, 6])
    scale = min(1.0, days / 60)
    made = []
    for device in members[: round(SHARE * len(members))]:
        mode = next(m for m in models[device].modes if m.kind == "gradual")
        fails = float(rng.uniform(0.45, 0.95)) * days
        onset = max(fails - scale * float(rng.uniform(*_LIFE_DAYS)), 10 * scale)
        made.append(
            Failure(
                device=device,
                mode=mode.name,
                onset_s=start_s + int(onset * DAY_S),
                fails_s=start_s + int(fails * DAY_S),
            )
        )
    return replace(plan, failures=(*plan.failures, *made))
