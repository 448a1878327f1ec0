"""Brings values into the unit of the product sheet when a message names its own. Pure.

The names are those of the IANA SenML units registry (RFC 8428 and the secondary units of RFC 8798),
and the spellings that product sheets use for the same.
"""

from collections.abc import Mapping
from typing import NamedTuple

from core.product import Product
from gateway.codecs.records import Telemetry, Values


class UnitError(Exception):
    """A unit does not fit its metric; the message says which."""


class _Scale(NamedTuple):
    """value in base unit = value * factor + offset."""

    quantity: str
    factor: float
    offset: float = 0.0


_UNITS: dict[str, _Scale] = {
    "m": _Scale("length", 1),
    "mm": _Scale("length", 1e-3),
    "cm": _Scale("length", 1e-2),
    "km": _Scale("length", 1e3),
    "kg": _Scale("mass", 1),
    "g": _Scale("mass", 1e-3),
    "s": _Scale("time", 1),
    "ms": _Scale("time", 1e-3),
    "min": _Scale("time", 60),
    "h": _Scale("time", 3600),
    "d": _Scale("time", 86_400),
    "A": _Scale("current", 1),
    "mA": _Scale("current", 1e-3),
    "V": _Scale("voltage", 1),
    "mV": _Scale("voltage", 1e-3),
    "K": _Scale("temperature", 1),
    "Cel": _Scale("temperature", 1, 273.15),
    "°C": _Scale("temperature", 1, 273.15),
    "°F": _Scale("temperature", 5 / 9, 459.67 * 5 / 9),
    "Pa": _Scale("pressure", 1),
    "hPa": _Scale("pressure", 100),
    "mbar": _Scale("pressure", 100),
    "kPa": _Scale("pressure", 1e3),
    "bar": _Scale("pressure", 1e5),
    "W": _Scale("power", 1),
    "kW": _Scale("power", 1e3),
    "J": _Scale("energy", 1),
    "Wh": _Scale("energy", 3600),
    "kWh": _Scale("energy", 3.6e6),
    "C": _Scale("charge", 1),
    "Ah": _Scale("charge", 3600),
    "VA": _Scale("apparent power", 1),
    "kVA": _Scale("apparent power", 1e3),
    "var": _Scale("reactive power", 1),
    "kvar": _Scale("reactive power", 1e3),
    "Hz": _Scale("rate", 1),
    "1/s": _Scale("rate", 1),
    "MHz": _Scale("rate", 1e6),
    "1/min": _Scale("rate", 1 / 60),
    "rpm": _Scale("rate", 1 / 60),
    "m3": _Scale("volume", 1),
    "m³": _Scale("volume", 1),
    "l": _Scale("volume", 1e-3),
    "ml": _Scale("volume", 1e-6),
    "m3/s": _Scale("flow", 1),
    "m³/h": _Scale("flow", 1 / 3600),
    "l/s": _Scale("flow", 1e-3),
    "l/min": _Scale("flow", 1e-3 / 60),
    "l/h": _Scale("flow", 1e-3 / 3600),
    "ml/h": _Scale("flow", 1e-6 / 3600),
    "m/s": _Scale("speed", 1),
    "mm/s": _Scale("speed", 1e-3),
    "km/h": _Scale("speed", 1 / 3.6),
    "m/h": _Scale("speed", 1 / 3600),
    "mm/h": _Scale("speed", 1e-3 / 3600),
    "m/s2": _Scale("acceleration", 1),
    "m/s²": _Scale("acceleration", 1),
    "/": _Scale("ratio", 1),
    "/100": _Scale("ratio", 1e-2),
    "%": _Scale("ratio", 1e-2),
    "/1000": _Scale("ratio", 1e-3),
    "ppm": _Scale("ratio", 1e-6),
    "%RH": _Scale("ratio", 1e-2),
    "%EL": _Scale("ratio", 1e-2),
    "count": _Scale("count", 1),
    "": _Scale("count", 1),
    "1": _Scale("count", 1),
    "Ohm": _Scale("resistance", 1),
    "Ω": _Scale("resistance", 1),
    "rad": _Scale("angle", 1),
    "deg": _Scale("angle", 0.017453292519943295),
    "°": _Scale("angle", 0.017453292519943295),
}
_SUMS = {
    "W": "J",
    "A": "C",
    "m/s": "m",
    "m/s2": "m/s",
    "l/s": "l",
    "m3/s": "m3",
    "1/s": "count",
    "Hz": "count",
    "/": "s",
}


def unit_of_sum(unit: str) -> str:
    """Return the unit of a SenML sum, which is an integral over time in seconds."""
    return _SUMS.get(unit, f"{unit}·s") if unit else ""


def in_sheet_units(message: Telemetry, product: Product) -> Telemetry:
    """Return a message with its values in the units of the product sheet.

    A metric that the sheet does not have is left as it is: somebody else refuses it.

    Raises
    ------
    UnitError
        If the message names a unit that cannot be turned into the sheet's.
    """
    if not message.units:
        return message
    sheet = {metric.name: metric.unit for metric in product.metrics}
    changes = {
        name: change
        for name, unit in message.units.items()
        if unit and name in sheet and (change := _change(name, unit, sheet[name])) is not None
    }
    if not changes:
        return message
    return Telemetry(
        [(at_ms, _changed(values, changes)) for at_ms, values in message.samples],
        message.boot,
        message.seq,
        message.low,
    )


def _change(name: str, unit: str, wanted: str) -> tuple[float, float] | None:
    """Return factor and offset from a unit to the sheet's; None: they are the same."""
    if unit == wanted:
        return None
    found, aim = _UNITS.get(unit), _UNITS.get(wanted)
    if found is None or aim is None or found.quantity != aim.quantity:
        raise UnitError(
            f"{name} comes in {unit[:40]!r}, and the product sheet has it in {wanted!r}"
        )
    factor = found.factor / aim.factor
    offset = (found.offset - aim.offset) / aim.factor
    return None if (factor, offset) == (1.0, 0.0) else (factor, offset)


def _changed(values: Values, changes: Mapping[str, tuple[float, float]]) -> Values:
    return {
        name: value * changes[name][0] + changes[name][1] if name in changes else value
        for name, value in values.items()
    }
