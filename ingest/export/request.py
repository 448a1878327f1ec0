"""What is to be exported, and which columns that makes. Pure."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from core.errors import InvalidError
from core.product import Metric, Product
from ingest.rollups.store import DAYS, HOURS, PARTS

BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(3000, 1, 1, tzinfo=UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


class Resolution(StrEnum):
    RAW = "raw"
    HOUR = "hour"
    DAY = "day"


SCHEMA = {Resolution.RAW: "telemetry", Resolution.HOUR: HOURS, Resolution.DAY: DAYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of numbers."""

    name: str
    title: str
    unit: str
    kind: str
    """As numpy calls it: f4, f8 or i4."""

    @property
    def heading(self) -> str:
        """Name and unit, for the first line of a CSV file."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    product: Product
    metrics: tuple[Metric, ...]
    resolution: Resolution
    begin: datetime
    end: datetime
    """Not included."""

    @property
    def time(self) -> str:
        """Name of the column of time."""
        return "measured_at" if self.resolution is Resolution.RAW else "starts_at"

    @property
    def columns(self) -> tuple[Column, ...]:
        if self.resolution is Resolution.RAW:
            return tuple(_column(metric, metric.name, metric.title) for metric in self.metrics)
        samples = Column(name="samples", title="Number of samples", unit="", kind="i4")
        return (
            samples,
            *(
                _column(metric, f"{metric.name}_{part}", f"{metric.title}: {part}", part=part)
                for metric in self.metrics
                for part in PARTS
            ),
        )


def make_request(
    product: Product,
    *,
    metrics: Sequence[str] = (),
    resolution: Resolution = Resolution.RAW,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Request:
    """Check what was asked for; no metrics are all of them.

    Raises
    ------
    InvalidError
        If the product has no such metric, or the span ends before it begins.
    """
    known = {metric.name: metric for metric in product.metrics}
    for name in metrics:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise InvalidError(
                f'{product.name} has no metric "{name}"',
                hint=f'did you mean "{close[0]}"?' if close else f"it has: {', '.join(known)}",
            )
    request = Request(
        product=product,
        metrics=tuple(known[name] for name in dict.fromkeys(metrics)) or product.metrics,
        resolution=resolution,
        begin=begin or BEGIN,
        end=end or END,
    )
    if request.begin >= request.end:
        raise InvalidError("the span ends before it begins", hint="swap from and to")
    return request


def harmless(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula (ASVS 5, 1.2.10)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def heading(request: Request) -> str:
    """Return the first line of a CSV file."""
    cells = ("device", request.time, *(column.heading for column in request.columns))
    return ",".join(_quoted(cell) for cell in cells) + "\r\n"


def _quoted(cell: str) -> str:
    cell = harmless(cell)
    if any(character in cell for character in ',"\r\n'):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _column(metric: Metric, name: str, title: str, *, part: str = "") -> Column:
    if part == "count":
        return Column(name=name, title=title, unit="", kind="i4")
    return Column(name=name, title=title, unit=metric.unit, kind="f8" if metric.precise else "f4")
