"""Keeps count of a rule's false alarms against its budget, and demotes it once it is overdrawn. Pure.

Looking every day would demote any rule sooner or later if each look were a test of its own. The
evidence kept here may be looked at as often as one likes: a rule within its budget is demoted with a
chance of at most `mistake_max`, ever.
"""

import math
from typing import Literal

import msgspec

_FACTORS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Overdrafts that the evidence looks for, as multiples of the budget, each with the same weight."""

Standing = Literal["full", "inspect_at_next_visit"]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """False alarms of one failure mode's rule since it was put in force."""

    budget_per_device_year: float
    false_alarms: int = 0
    device_years: float = 0.0
    mistake_max: float = 0.05
    """Chance of demoting, ever, a rule that keeps its budget."""
    peak: float = 1.0
    """Highest evidence so far."""

    @property
    def evidence(self) -> float:
        """How much likelier the count is under an overdraft than at the budget.

        A mixture of likelihood ratios of Poisson processes. For any rate within the budget it is a
        supermartingale that begins at 1, so it reaches 1/a with a chance of at most a.

        References
        ----------
        Ville (1939), Étude critique de la notion de collectif; Ramdas et al. (2023), Stat. Sci. 38(4).
        doi:10.1214/23-STS894
        """
        allowed = self.budget_per_device_year * self.device_years
        ratios = (self.false_alarms * math.log(f) - allowed * (f - 1) for f in _FACTORS)
        return sum(math.exp(min(ratio, 600.0)) for ratio in ratios) / len(_FACTORS)

    @property
    def standing(self) -> Standing:
        """Whether an alert may open a ticket, or only asks to be looked at on the next visit."""
        return "inspect_at_next_visit" if self.peak >= 1 / self.mistake_max else "full"

    def after(self, *, false_alarms: int, device_years: float) -> "Ledger":
        """Return the ledger with what came since: false alarms, and the time in which they came."""
        grown = msgspec.structs.replace(
            self,
            false_alarms=self.false_alarms + false_alarms,
            device_years=self.device_years + device_years,
        )
        return msgspec.structs.replace(grown, peak=max(self.peak, grown.evidence))
