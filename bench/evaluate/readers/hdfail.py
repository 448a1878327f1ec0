"""Lifetimes of hard drives. The SMART flags in the file look at the whole life, so they are not read."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import Catalog, History
from bench.evaluate.readers.tables import rows_of
from core.errors import InvalidError
from core.product import FailureMode, Product

EVERY = timedelta(days=720)
"""Between two forecasts of a drive. Lives are years long, and nothing but the age is new at the next one: on
folds of training drives, learning from a row every 120, 360 and 720 days gave a C-index of 0.756, 0.758
and 0.762."""
_FIRST_US = 3_600_000_000
"""A drive's first forecast is made when it is an hour old."""
_US_PER_DAY = 86_400_000_000


def read(folder: Path) -> tuple[Catalog, list[History]]:
    """Return one history per drive; lives are known by age only, so all begin at the same instant."""
    catalog = Catalog(_product())
    begins = catalog.every_us - _FIRST_US
    histories = []
    columns = ("pid", "event", "time", "num_temp", "fac_brand", "fac_type")
    for row in rows_of(folder, "hdfail.csv", columns=columns):
        ends = begins + round(_number(row, "time") * _US_PER_DAY)
        failed = np.array([ends] if row["event"] == "1" else [], dtype=np.int64)
        histories.append(
            History(
                device=row["pid"],
                begins_us=begins,
                until_us=max(ends, begins + _FIRST_US),
                failure_us=np.maximum(failed, begins + _FIRST_US + 1),
                failure_mode=np.zeros(len(failed), dtype=np.int64),
                traits={
                    "brand": row["fac_brand"],
                    "type": row["fac_type"],
                    "temperature": row["num_temp"],
                },
            )
        )
    if not histories:
        raise InvalidError(f"hdfail.csv in {folder} has no rows", hint="is the file whole?")
    return catalog, histories


def _number(row: dict[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise InvalidError(
            f"drive {row['pid']}: {column} is {row[column]!r}", hint="it should be a number of days"
        ) from None


def _product() -> Product:
    return Product(
        name="hdfail",
        title="Hard drive",
        manufacturer="Several (drives of a storage company)",
        interval=timedelta(days=1),
        window=timedelta(days=1),
        learning=timedelta(days=30),
        forecast_every=EVERY,
        late_after=timedelta(days=1),
        history_max=timedelta(days=36500),
        metrics=(),
        failure_modes=(
            FailureMode(
                name="drive_fails", title="The drive fails", component="drive", evidence=(),
                cost_of_failure=500, cost_of_visit=100, lead_time=timedelta(days=7),
            ),
        ),
    )  # fmt: skip
