"""Full jitter: bounded, spread out, growing to its cap."""

from random import Random

import pytest

from firmware_sim.backoff import CAP_S, full_jitter_s


@pytest.mark.parametrize("attempt", [0, 1, 5, 6, 60, 10_000])
def test_a_wait_is_between_nothing_and_the_limit_of_its_attempt(attempt):
    rng = Random(3)
    limit = min(CAP_S, 2.0 ** min(attempt, 30))

    waits = [full_jitter_s(rng, attempt=attempt) for _ in range(500)]

    assert 0 <= min(waits) < 0.05 * limit
    assert 0.95 * limit < max(waits) <= limit
