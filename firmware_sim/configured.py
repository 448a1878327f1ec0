"""A device's side of its configuration: takes a newer document, keeps it, says what it has."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from firmware_sim import log
from firmware_sim.history import History, SettingsFrom
from firmware_sim.memory import Memory
from firmware_sim.model import Setting
from firmware_sim.said import Said, say


class _Config(msgspec.Struct, frozen=True):
    version: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    desired: dict[str, Any]


_decoder = msgspec.json.Decoder(_Config)


class Configured:
    """The settings of one device. What it does not know it leaves alone and does not report."""

    def __init__(
        self,
        device: str,
        *,
        settings: Sequence[Setting],
        memory: Memory,
        history: History,
        at_s: Callable[[], int],
    ) -> None:
        self._device = device
        self._settings = settings
        self._memory = memory
        self._history = history
        self._at_s = at_s

    @property
    def values(self) -> Mapping[str, float]:
        if self._history.settings:
            return self._history.settings[-1].values
        return {setting.name: setting.default for setting in self._settings}

    def report(self) -> Said:
        return say(
            "reported",
            {"version": self._memory.config_version(self._device), "reported": dict(self.values)},
        )

    def hear(self, payload: bytes) -> list[Said]:
        """Take a configuration that is newer; answer every one."""
        try:
            config = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.warning("device.config_unreadable", device=self._device)
            return []
        if config.version > self._memory.config_version(self._device):
            self._apply(config)
        return [self.report()]

    def _apply(self, config: _Config) -> None:
        values = {
            setting.name: _fitted(setting, config.desired.get(setting.name, setting.default))
            for setting in self._settings
        }
        if values == self.values:
            self._memory.confirm_version(self._device, config.version)
            return
        entry = SettingsFrom(at_s=self._at_s(), values=values)
        self._memory.apply_settings(self._device, entry, version=config.version)
        self._history.settings.append(entry)
        log.info("device.configured", device=self._device, version=config.version)


def _fitted(setting: Setting, wanted: Any) -> float:
    """Return what the device makes of a value: within its limits, or its default. Pure."""
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return setting.default
    value = min(max(wanted, setting.low), setting.high)
    return round(value) if setting.is_whole else value
