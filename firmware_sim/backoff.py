"""How long to wait before the next attempt: full jitter, so that a fleet does not come back at once."""

from random import Random

BASE_S = 1.0
CAP_S = 60.0


def full_jitter_s(
    rng: Random, *, attempt: int, base_s: float = BASE_S, cap_s: float = CAP_S
) -> float:
    """Draw a wait between 0 and the doubled limit of this attempt (0 is the first), seconds."""
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 30)))
