"""One simulated device: conditions, wear, sensors and clock make its samples. Pure and random-access.

The samples of an instant depend on the seed, the plan and the repairs alone, never on which blocks
were asked for before: a run that goes on after a crash makes the same values again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware_sim.history import History
from firmware_sim.model import REPORT_EVERY, Meter, Mode, Model, Operation, Site
from firmware_sim.noise import FloatArray, IntArray, key_of, slow_noise, white_noise
from firmware_sim.plan import DAY_S, Failure, SensorFault

FAULT_METRIC = "fault_code"
STEP_S = 60
_WANDER_S = 5 * 3600
_DRIFT_PPM_MAX = 40
_EVERYDAY_WEAR_MAX = 0.06
_HOURS_STEP_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A row of samples of one device, evenly spaced in true time."""

    at_s: IntArray
    """True instants, epoch seconds."""
    measured_at_ms: IntArray
    """The same by the device's own clock, which drifts until it is set again."""
    metrics: dict[str, FloatArray]
    """Each of the length of `at_s`; NaN where the device sent no value."""
    is_sent: np.ndarray
    """False where the whole sample is missing."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """A device of a product with its own tolerances, at its own site."""

    name: str
    model: Model
    site: Site
    key: int
    start_s: int
    failures: list[Failure] = field(default_factory=list)
    sensor_faults: Sequence[SensorFault] = ()
    step_s: int = STEP_S
    """Time between two samples."""
    history: History = field(default_factory=History)
    """What it was set to, and which firmware it ran."""
    _tolerances: dict[tuple[str, ...], float] = field(default_factory=dict)
    _hours: dict[int, tuple[IntArray, FloatArray]] = field(default_factory=dict)

    def block(self, start_s: int, end_s: int) -> Block:
        """Make the samples of [start_s, end_s), both on whole steps."""
        at_s = np.arange(start_s, end_s, self.step_s, dtype=np.int64)
        operation = self._operate(at_s)
        code = self.fault_codes(at_s)
        running = operation.running * (code == 0)
        values = {
            meter.name: operation.values[meter.name] * self._gain(meter)
            for meter in self.model.meters
        }
        for mode in self.model.modes:
            wear = np.maximum(self.wear(mode, at_s), self.history.feigned_wear(mode.name, at_s))
            shown = wear**mode.effect_power
            under_load = 0.94 + 0.12 * operation.load
            for metric, deviation in mode.deviations.items():
                values[metric] = values[metric] + deviation * shown * under_load * running
        for place, meter in enumerate(self.model.meters):
            own = self._offset(meter) + self._wander(meter, place, at_s)
            values[meter.name] = values[meter.name] + running * own
        self.model.stop(values, running)
        self._measure(values, at_s)
        is_sent = self._apply_sensor_faults(values, at_s) & self._is_reported(at_s)
        values[FAULT_METRIC] = code
        return Block(
            at_s=at_s, measured_at_ms=self.own_clock_ms(at_s), metrics=values, is_sent=is_sent
        )

    def wear(self, mode: Mode, at_s: IntArray) -> FloatArray:
        """Wear of one part at a row of instants, 0 as new to 1 failed."""
        reach = _EVERYDAY_WEAR_MAX * (key_of(self.key, mode.name) % 100) / 100
        wear = reach * (1 - np.exp(-(at_s - self.start_s) / (60 * DAY_S)))
        wear = np.maximum(wear, 0.0) if mode.kind == "gradual" else np.zeros(len(at_s))
        for failure in self.failures:
            if failure.mode != mode.name:
                continue
            if mode.kind == "gradual":
                own = failure.strength * mode.law(
                    self._progress(mode, failure, at_s) ** failure.shape
                )
                wear = np.maximum(wear, own)
            if failure.repaired_s is not None:
                wear = np.where(at_s >= failure.repaired_s, 0.0, wear)
        return np.asarray(wear)

    def fault_codes(self, at_s: IntArray) -> FloatArray:
        """What the controller reports: 0, or the code of the part that has stopped the machine."""
        code = np.zeros(len(at_s))
        for failure in self.failures:
            until = failure.repaired_s if failure.repaired_s is not None else np.inf
            code[(at_s >= failure.fails_s) & (at_s < until)] = self.model.mode(
                failure.mode
            ).fault_code
        return code

    def own_clock_ms(self, at_s: IntArray) -> IntArray:
        """Let the clock run a few parts per million wrong until the network sets it, once a day."""
        ppm = (self.key % (2 * _DRIFT_PPM_MAX * 10)) / 10 - _DRIFT_PPM_MAX
        since_set = (at_s + self.key % DAY_S) % DAY_S
        return np.asarray(at_s * 1000 + (since_set * ppm / 1000).astype(np.int64))

    def _operate(self, at_s: IntArray) -> Operation:
        setting = self.model.offset
        offset = self.history.setting(setting.name, at_s, default=setting.default)
        return self.model.operate(self.key, self.site, at_s, offset=offset)

    def _is_reported(self, at_s: IntArray) -> np.ndarray:
        """Whether a sample is due at an instant, by the configured time between two of them."""
        every = self.history.setting(REPORT_EVERY.name, at_s, default=REPORT_EVERY.default)
        return np.asarray(at_s // self.step_s % every.astype(np.int64) == 0)

    def _progress(self, mode: Mode, failure: Failure, at_s: IntArray) -> FloatArray:
        if not mode.by_running_hours:
            life = max(1, failure.fails_s - failure.onset_s)
            return np.clip((at_s - failure.onset_s) / life, 0.0, 1.0)
        if failure.fails_s not in self._hours:
            grid = np.arange(
                failure.onset_s, failure.fails_s + _HOURS_STEP_S, _HOURS_STEP_S, dtype=np.int64
            )
            grid[-1] = failure.fails_s
            run = self.model.operate(self.key, self.site, grid).running + 1e-6
            run[0] = 0.0
            self._hours[failure.fails_s] = (grid, np.cumsum(run) / run.sum())
        grid, share = self._hours[failure.fails_s]
        return np.asarray(np.interp(at_s, grid, share))

    def _gain(self, meter: Meter) -> float:
        return 1 + meter.gain * self._tolerance(meter.name, "gain")

    def _offset(self, meter: Meter) -> float:
        return meter.offset * self._tolerance(meter.name, "offset")

    def _tolerance(self, *name: str) -> float:
        if name not in self._tolerances:
            drawn = float(np.random.default_rng([self.key, key_of(*name)]).standard_normal())
            self._tolerances[name] = max(-2.0, min(2.0, drawn))
        return self._tolerances[name]

    def _wander(self, meter: Meter, place: int, at_s: IntArray) -> FloatArray | float:
        if meter.wander == 0:
            return 0.0
        return meter.wander * slow_noise(self.key + 31 * (place + 1), at_s, period_s=_WANDER_S)

    def _measure(self, values: dict[str, FloatArray], at_s: IntArray) -> None:
        noise = white_noise(
            self.key,
            start_s=int(at_s[0]),
            count=len(at_s),
            step_s=self.step_s,
            streams=len(self.model.meters),
        )
        at_rest = values[self.model.running_metric] == 0
        for meter, own in zip(self.model.meters, noise, strict=True):
            spread = np.where(at_rest, 0.2 * meter.noise, meter.noise)
            if meter.name == self.model.running_metric:
                spread = np.where(at_rest, 0.0, meter.noise)
            measured = values[meter.name] + own * spread
            values[meter.name] = np.clip(measured, meter.low, meter.high).round(meter.decimals)

    def _apply_sensor_faults(self, values: dict[str, FloatArray], at_s: IntArray) -> np.ndarray:
        is_sent = np.ones(len(at_s), dtype=bool)
        for fault in self.sensor_faults:
            during = (at_s >= fault.start_s) & (at_s < fault.end_s)
            if fault.kind == "gap":
                is_sent &= ~during
            elif fault.kind == "dropout":
                values[fault.metric] = np.where(during, np.nan, values[fault.metric])
            elif fault.kind == "stuck":
                stuck = self._stuck_at(fault)
                values[fault.metric] = np.where(during, stuck, values[fault.metric])
            else:
                # A drifting sensor stays wrong: nobody repairs it unless asked.
                part = np.clip((at_s - fault.start_s) / (fault.end_s - fault.start_s), 0, 1)
                meter = self.model.meter(fault.metric)
                drifted = values[fault.metric] + fault.size * part
                values[fault.metric] = np.clip(drifted, meter.low, meter.high).round(meter.decimals)
        return is_sent

    def _stuck_at(self, fault: SensorFault) -> float:
        """The value of the last hour before the fault in which the machine ran."""
        at_s = np.arange(fault.start_s - 6 * 3600, fault.start_s, STEP_S, dtype=np.int64)
        operation = self._operate(at_s)
        ran = operation.running > 0
        meter = self.model.meter(fault.metric)
        values = operation.values[fault.metric]
        return round(float(values[ran][-1] if ran.any() else values[-1]), meter.decimals)
