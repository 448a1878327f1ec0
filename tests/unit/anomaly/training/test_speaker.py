"""A model speaks in the place of the first layer, which goes on to say what is seen."""

import numpy as np
import pytest

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.labels import labels_of
from anomaly.learn.outlook import outlook_rows
from anomaly.records import LIFE_SHARES
from anomaly.training.slices import cut
from anomaly.training.speaker import speak
from tests.unit.anomaly.learn.test_frame import CATALOG
from tests.unit.anomaly.training.test_contest import DAY, device, learn

LEARNING, OK, DECLINING, FAILED = (
    STATUSES.index(name) for name in ("learning", "ok", "declining", "failed")
)


@pytest.fixture(scope="module")
def track() -> Track:
    history = device(500, is_telling=True)
    made = np.arange(1, 200, dtype=np.int64) * CATALOG.every_us
    status = np.full((len(made), 2), OK)
    status[:5, 0], status[5:9, 0] = LEARNING, FAILED
    p_fail = np.full((len(made), 2, 3), 0.001)
    p_fail[:5] = np.nan
    return Track(
        history=history, made_us=made, status=status, p_fail=p_fail,
        life_hours=np.full((len(made), 2, len(LIFE_SHARES)), np.inf),
        worn=np.zeros((len(made), 2)),
        labels=labels_of(CATALOG, findings=[], faults=[]), sensors=(),
    )  # fmt: skip


def test_only_where_the_first_layer_says_ok_or_declining_does_the_model_speak(
    track: Track,
) -> None:
    fleet = [device(number, is_telling=True) for number in range(60)]
    model = learn(fleet, cut(fleet))

    spoken = speak(CATALOG, track, {"belt_worn": model})

    assert np.array_equal(spoken.status[:9], track.status[:9])
    assert np.array_equal(spoken.p_fail[:9], track.p_fail[:9], equal_nan=True)
    assert np.array_equal(spoken.p_fail[:, 1], track.p_fail[:, 1], equal_nan=True)
    said = spoken.p_fail[9:, 0]
    assert (np.diff(said, axis=1) >= 0).all()
    near = np.isin(np.arange(9, 199), [int(f / CATALOG.every_us) - 12 for f in
                                       track.history.failure_us if f < 25 * DAY])  # fmt: skip
    if near.any():
        assert said[near, 2].mean() > said[:, 2].mean()


def test_quantiles_of_life_are_in_order_and_agree_with_the_chances(track: Track) -> None:
    fleet = [device(number, is_telling=True) for number in range(60)]
    model = learn(fleet, cut(fleet))
    x = np.random.default_rng(0).normal(size=(50, len(model.spec.names)))

    chance, life = outlook_rows(model, x)

    assert (np.diff(life, axis=1)[np.isfinite(life[:, 1:])] >= 0).all()
    middle = life[:, LIFE_SHARES.index(0.5)]
    assert (chance[middle < 160, 1] >= 0.5).all()
    assert (chance[middle > 180, 1] <= 0.5).all()
