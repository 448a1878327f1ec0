"""Invented fleets whose truth is known."""

import numpy as np

from anomaly.fleet.lives import Lives, Trait, make_trait
from anomaly.fleet.standing import Watch


def make_lives(rows: list[tuple[float, float, float, bool]], **labels: list[str]) -> Lives:
    """Build lives of (born, since, until, has_failed), one device each."""
    born, since, until, failed = (np.array(column) for column in zip(*rows, strict=True))
    return Lives(
        device=np.arange(len(rows)),
        born=born.astype(float),
        since=since.astype(float),
        until=until.astype(float),
        has_failed=failed.astype(bool),
        goes_on=np.ones(len(rows), dtype=bool),
        traits=tuple(make_trait(name, values) for name, values in labels.items()),
    )


def draw_fleet(
    rng: np.random.Generator,
    *,
    sizes: list[int],
    times: list[float],
    rate: float = 0.002,
    days: float = 365.0,
    wear: float = 1.5,
) -> Lives:
    """Draw lots that are delivered one after the other; a lot fails `times` as often as an ordinary one.

    Lives follow a Weibull hazard that grows with age, so that lots of different age differ in their
    plain rates though not at equal age.
    """
    lot = np.repeat(np.arange(len(sizes)), sizes)
    born = lot * 60.0 + rng.uniform(0, 90, len(lot))
    factor = np.array(times)[lot]
    life = (rng.exponential(size=len(lot)) / factor) ** (1 / wear) / rate
    until = np.minimum(born + life, born.min() + days + 60.0 * len(sizes))
    return Lives(
        device=np.arange(len(lot)),
        born=born,
        since=born.copy(),
        until=until,
        has_failed=born + life <= until,
        goes_on=np.ones(len(lot), dtype=bool),
        traits=(Trait(name="lot", values=tuple(f"L{i}" for i in range(len(sizes))), code=lot),),
    )


def watch(lives: Lives, detected: Lives | None = None) -> Watch:
    return Watch(mode="bearing", failed=lives, detected=lives if detected is None else detected)
