"""An air-to-water heat pump: load from weather and hot water, and what its meters show. Pure."""

import numpy as np

from firmware_sim.model import Meter, Mode, Model, Operation, Setting, Site, Values
from firmware_sim.noise import FloatArray, IntArray, slow_noise, steps
from firmware_sim.wear import erosion, exponential, fading, linear
from firmware_sim.weather import local_hour, outdoor_c

_HZ_MIN, _HZ_MAX = 26.0, 90.0
_CYCLE_S = 2700
_WEEK_S = 7 * 86_400


def _operate(
    key: int, site: Site, at_s: IntArray, *, offset: FloatArray | float = 0.0
) -> Operation:
    outdoor = outdoor_c(site, at_s)
    hour = local_hour(site, at_s)
    setback = np.where((hour < 5.5) | (hour > 22.5), 0.8, 1.0)
    habits = 1 + 0.10 * slow_noise(key + 1, at_s, period_s=4 * 3600)
    demand = np.clip((19 - outdoor) / 29 * setback * habits, 0, 1)
    morning, evening = 5.5 + key % 5 * 0.35, 17.5 + key % 7 * 0.4
    hot_water = ((hour > morning) & (hour < morning + 0.9)) | (
        (hour > evening) & (hour < evening + 1.1)
    )
    wanted_hz = demand * _HZ_MAX
    phase = (at_s + key % _CYCLE_S) % _CYCLE_S / _CYCLE_S
    heats = phase < np.maximum(wanted_hz / _HZ_MIN, 0.0)
    running = ((heats & (demand > 0.03)) | hot_water).astype(np.float64)
    hz = np.where(hot_water, 62.0, np.clip(wanted_hz, _HZ_MIN, _HZ_MAX)) * running
    knob = 1.5 * steps(key + 2, at_s, period_s=_WEEK_S)
    heating_c = np.clip(27 + knob + offset + 0.55 * (19 - outdoor), 24, 50)
    outlet = np.where(hot_water, 50.0, heating_c)
    outlet = np.where(running > 0, outlet, heating_c - 5)
    load = hz / _HZ_MAX
    evaporating = outdoor - 4 - 6 * load
    values: Values = {
        "ambient_c": outdoor,
        "compressor_hz": hz,
        "outlet_c": outlet,
        "power_w": 130 + 1450 * load + 16 * (outlet - outdoor) * (0.35 + load),
        "evaporating_c": evaporating,
        "discharge_c": 34 + 0.8 * outlet - 0.3 * outdoor + 19 * load,
        "fan_current_a": 0.32 + 0.85 * load - 0.002 * outdoor,
        "fan_vibration_mm_s": 0.7 + 1.1 * load,
        "flow_l_min": 13 + 11 * load,
        "spread_k": 2.2 + 4.4 * load,
        "ripple_v": 2.5 + 5.5 * load,
    }
    _stop(values, running)
    return Operation(values=values, running=running, load=load)


def _stop(values: Values, running: FloatArray) -> None:
    off = running == 0
    at_rest = {
        "compressor_hz": 0.0,
        "power_w": 14.0,
        "fan_current_a": 0.02,
        "fan_vibration_mm_s": 0.05,
        "flow_l_min": 0.0,
        "spread_k": 0.2,
        "ripple_v": 0.4,
    }
    for name, value in at_rest.items():
        values[name][off] = value
    values["evaporating_c"][off] = values["ambient_c"][off]
    values["discharge_c"][off] = values["ambient_c"][off] + 9


HEAT_PUMP = Model(
    name="heat_pump",
    running_metric="compressor_hz",
    offset=Setting(name="curve_offset_k", default=0, low=-5, high=5),
    operate=_operate,
    stop=_stop,
    meters=(
        Meter(name="ambient_c", decimals=1, noise=0.15, offset=0.3),
        Meter(name="compressor_hz", decimals=1, noise=0.1, low=0),
        Meter(name="outlet_c", decimals=1, noise=0.25, wander=0.15, offset=0.3),
        Meter(name="power_w", decimals=0, noise=22, wander=9, gain=0.025, low=0),
        Meter(name="evaporating_c", decimals=1, noise=0.35, wander=0.14, offset=0.5),
        Meter(name="discharge_c", decimals=1, noise=0.9, wander=0.4, offset=1.2),
        Meter(name="fan_current_a", decimals=3, noise=0.02, wander=0.007, gain=0.03, low=0),
        Meter(name="fan_vibration_mm_s", decimals=2, noise=0.22, wander=0.09, gain=0.08, low=0),
        Meter(name="flow_l_min", decimals=1, noise=0.4, wander=0.14, gain=0.025, low=0),
        Meter(name="spread_k", decimals=2, noise=0.12, wander=0.05, offset=0.12),
        Meter(name="ripple_v", decimals=2, noise=0.35, wander=0.14, gain=0.05, low=0),
    ),
    modes=(
        Mode(
            name="compressor_wear",
            component="compressor",
            fault_code=11,
            law=erosion,
            deviations={"power_w": 460, "discharge_c": 18},
        ),
        Mode(
            name="fan_bearing",
            component="fan",
            fault_code=21,
            law=exponential,
            deviations={"fan_vibration_mm_s": 4.5, "fan_current_a": 0.36},
        ),
        Mode(
            name="refrigerant_leak",
            component="refrigerant",
            fault_code=31,
            law=linear,
            effect_power=1.5,
            deviations={"evaporating_c": -7, "discharge_c": 16},
        ),
        Mode(
            name="filter_clogged",
            component="air filter",
            fault_code=41,
            law=linear,
            by_running_hours=True,
            deviations={"evaporating_c": -5.5, "fan_current_a": 0.26},
        ),
        Mode(
            name="circulation_pump",
            component="circulation pump",
            fault_code=51,
            law=erosion,
            deviations={"flow_l_min": -6.5, "spread_k": 2.4},
        ),
        Mode(
            name="capacitor_fade",
            component="capacitor",
            fault_code=61,
            law=fading,
            deviations={"ripple_v": 7, "power_w": 300},
        ),
        Mode(
            name="control_board",
            component="control board",
            fault_code=90,
            kind="sudden",
            deviations={},
        ),
    ),
)
