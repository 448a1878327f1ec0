"""A pressure-boosting water pump of a building: demand over the day and what its meters show. Pure."""

import numpy as np

from firmware_sim.model import Meter, Mode, Model, Operation, Setting, Site, Values
from firmware_sim.noise import FloatArray, IntArray, slow_noise, steps
from firmware_sim.wear import erosion, exponential, fading, linear
from firmware_sim.weather import local_hour, outdoor_c

_RPM_MAX = 2900.0
_WEEK_S = 7 * 86_400


def _operate(
    key: int, site: Site, at_s: IntArray, *, offset: FloatArray | float = 0.0
) -> Operation:
    outdoor = outdoor_c(site, at_s)
    hour = local_hour(site, at_s)
    room = 15 + 0.3 * outdoor
    busy = (
        0.22
        + 0.5 * _peak(hour, 7.5, 1.6)
        + 0.25 * _peak(hour, 13, 2.5)
        + 0.55 * _peak(hour, 19.5, 2.2)
    )
    people = 1 + 0.14 * slow_noise(key + 1, at_s, period_s=1200)
    demand = np.clip(busy * people * 100, 0, 100)
    night = (hour > 1.2) & (hour < 4.3) & (slow_noise(key + 3, at_s, period_s=1800) < 0.2)
    running = (~night).astype(np.float64)
    demand = demand * running
    set_bar = 4.0 + 0.15 * steps(key + 2, at_s, period_s=_WEEK_S) + offset
    load = demand / 100
    rpm = (1750 + 900 * load + 120 * (set_bar - 4)) * running
    values: Values = {
        "ambient_c": room,
        "demand_pct": demand,
        "speed_rpm": rpm,
        "flow_m3_h": 1.2 + 10.5 * load,
        "pressure_bar": set_bar + 0.25 - 0.5 * load,
        "power_w": 380 + 1050 * load + 0.12 * (rpm - 1750),
        "vibration_mm_s": 0.9 + 0.0006 * (rpm - 1000),
        "bearing_c": 14 + 0.85 * room + 13 * load,
        "motor_c": 20 + 0.9 * room + 24 * load,
        "seal_leak_ml_h": 4 + 2.5 * load,
    }
    _stop(values, running)
    return Operation(values=values, running=running, load=load)


def _peak(hour: FloatArray, middle: float, width: float) -> FloatArray:
    away = (hour - middle + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def _stop(values: Values, running: FloatArray) -> None:
    off = running == 0
    at_rest = {
        "demand_pct": 0.0,
        "speed_rpm": 0.0,
        "flow_m3_h": 0.0,
        "pressure_bar": 3.4,
        "power_w": 6.0,
        "vibration_mm_s": 0.04,
        "seal_leak_ml_h": 1.0,
    }
    for name, value in at_rest.items():
        values[name][off] = value
    values["bearing_c"][off] = values["ambient_c"][off] + 4
    values["motor_c"][off] = values["ambient_c"][off] + 5


WATER_PUMP = Model(
    name="water_pump",
    running_metric="speed_rpm",
    offset=Setting(name="pressure_offset_bar", default=0, low=-0.5, high=0.5),
    operate=_operate,
    stop=_stop,
    meters=(
        Meter(name="ambient_c", decimals=1, noise=0.15, offset=0.3),
        Meter(name="demand_pct", decimals=1, noise=0.3, low=0, high=100),
        Meter(name="speed_rpm", decimals=0, noise=4, low=0),
        Meter(name="flow_m3_h", decimals=2, noise=0.16, wander=0.06, gain=0.02, low=0),
        Meter(name="pressure_bar", decimals=2, noise=0.06, wander=0.025, offset=0.08, low=0),
        Meter(name="power_w", decimals=0, noise=14, wander=6, gain=0.025, low=0),
        Meter(name="vibration_mm_s", decimals=2, noise=0.25, wander=0.1, gain=0.08, low=0),
        Meter(name="bearing_c", decimals=1, noise=0.7, wander=0.4, offset=0.8),
        Meter(name="motor_c", decimals=1, noise=0.8, wander=0.45, offset=1.0),
        Meter(name="seal_leak_ml_h", decimals=1, noise=2.2, wander=0.9, offset=0.8, low=0),
    ),
    modes=(
        Mode(
            name="pump_bearing",
            component="bearing",
            fault_code=121,
            law=exponential,
            deviations={"vibration_mm_s": 5.0, "bearing_c": 17},
        ),
        Mode(
            name="impeller_erosion",
            component="impeller",
            fault_code=131,
            law=erosion,
            deviations={"flow_m3_h": -2.6, "pressure_bar": -1.0},
        ),
        Mode(
            name="seal_leak",
            component="seal",
            fault_code=141,
            law=linear,
            by_running_hours=True,
            effect_power=1.3,
            deviations={"seal_leak_ml_h": 42, "pressure_bar": -0.9},
        ),
        Mode(
            name="motor_winding",
            component="motor",
            fault_code=151,
            law=fading,
            deviations={"motor_c": 19, "power_w": 240},
        ),
        Mode(
            name="control_board",
            component="control board",
            fault_code=190,
            kind="sudden",
            deviations={},
        ),
    ),
)
