"""A whole fleet from one seed: devices, sites, plan. Usable offline as a source of numpy arrays.

>>> fleet = make_fleet(devices=40, days=60, seed=7, start_s=1_758_499_200)
>>> block = fleet.machines[0].block(fleet.start_s, fleet.end_s)
>>> block.metrics["power_w"].shape
(86400,)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from firmware_sim.bad_lot import with_bad_lot
from firmware_sim.heat_pump import HEAT_PUMP
from firmware_sim.machine import Machine
from firmware_sim.model import Model, Site
from firmware_sim.noise import key_of
from firmware_sim.people import Household, make_households
from firmware_sim.plan import DAY_S, Plan, make_plan
from firmware_sim.water_pump import WATER_PUMP

MODELS = {model.name: model for model in (HEAT_PUMP, WATER_PUMP)}
LOTS = ("2024-W48", "2025-W07", "2025-W19", "2025-W31")
_FIRMWARE = ("4.1.0", "4.2.1", "4.2.1", "4.3.0")
_SHARES = {"heat_pump": 3, "water_pump": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is on the type plate of a device and who owns it."""

    name: str
    product: str
    serial: str
    lot: str
    firmware: str
    delivered_s: int
    household: Household


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    seed: int
    start_s: int
    end_s: int
    units: tuple[Unit, ...]
    machines: tuple[Machine, ...]
    """`machines[i]` belongs to `units[i]`; a `Failure.device` is that place too."""
    plan: Plan


def make_fleet(  # noqa: PLR0913 - keyword-only sizes of a fleet
    *,
    devices: int,
    days: float,
    seed: int,
    start_s: int,
    products: Sequence[str] = ("heat_pump", "water_pump"),
    ahead: int = 0,
    bad_lot: str = "",
) -> Fleet:
    """Build a fleet.

    Parameters
    ----------
    devices : int
        Number of devices, at least 1; three heat pumps to two water pumps where both are wanted.
    days : float
        Length of the run.
    seed : int
        The same seed, sizes and start give the same fleet and the same samples.
    start_s : int
        Begin of the run, epoch seconds on a whole minute.
    products : sequence of str
        Names out of `MODELS`.
    ahead : int
        Failures more that begin in the run and happen after it, as far as there are well devices.
    bad_lot : str
        Name out of `LOTS` of a lot with a bad part; empty: none.
    """
    turn = [name for name in products for _ in range(_SHARES[name])]
    models: list[Model] = [MODELS[turn[i * 2 % len(turn)]] for i in range(devices)]
    end_s = start_s + int(days * DAY_S)
    plan = make_plan(models, start_s=start_s, days=days, seed=seed, ahead=ahead)
    lots = [LOTS[key_of(seed, i) % 4] for i in range(devices)]
    if bad_lot:
        plan = with_bad_lot(plan, models, lots, lot=bad_lot, start_s=start_s, days=days, seed=seed)
    households = _leave_open(make_households(devices, seed=seed), plan, end_s=end_s)
    units, machines = [], []
    for i, (model, household) in enumerate(zip(models, households, strict=True)):
        key = key_of(seed, i)
        short = "".join(word[0] for word in model.name.split("_"))
        units.append(
            Unit(
                name=f"{short}-{seed:03d}-{i + 1:04d}",
                product=model.name,
                serial=f"{short.upper()}{25_000_000 + key % 900_000:08d}{i:04d}",
                lot=lots[i],
                firmware=_FIRMWARE[key // 4 % 4],
                delivered_s=start_s - (40 + key % 500) * DAY_S,
                household=household,
            )
        )
        machines.append(
            Machine(
                name=units[-1].name,
                model=model,
                site=_site(household, start_s),
                key=key,
                start_s=start_s,
                failures=[failure for failure in plan.failures if failure.device == i],
                sensor_faults=[fault for fault in plan.sensor_faults if fault.device == i],
            )
        )
    return Fleet(
        seed=seed,
        start_s=start_s,
        end_s=end_s,
        units=tuple(units),
        machines=tuple(machines),
        plan=plan,
    )


def _leave_open(
    households: Sequence[Household], plan: Plan, *, end_s: int
) -> tuple[Household, ...]:
    """Let the owners whose part fails after the end leave the booking to whoever looks on; only the
    one whose part fails first books, and not before the end, so that the visit is still to come."""
    ahead = [failure.device for failure in plan.failures if failure.is_ahead]
    changed = list(households)
    for device in ahead:
        changed[device] = replace(
            changed[device],
            ignores_mail=device != ahead[0],
            answers_from_s=end_s if device == ahead[0] else 0,
        )
    return tuple(changed)


def _site(household: Household, start_s: int) -> Site:
    offset = datetime.fromtimestamp(start_s, UTC).astimezone(ZoneInfo(household.city.timezone))
    return Site(
        latitude=household.latitude,
        utc_offset_s=int(getattr(offset.utcoffset(), "total_seconds", float)()),
        weather_key=key_of("weather", household.city.name),
    )
