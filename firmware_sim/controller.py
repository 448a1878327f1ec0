"""What a device does besides measuring: it is configured, obeys, and updates its firmware."""

from collections.abc import Callable
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_sim.configured import Configured
from firmware_sim.history import History
from firmware_sim.memory import Memory
from firmware_sim.model import Model
from firmware_sim.obedient import Obedient
from firmware_sim.said import Said
from firmware_sim.updating import Updating

HEARS = ("config", "command", "firmware", "chunk")
"""Kinds of messages that it wants to hear."""


class Controller:
    """One device's controller. Messages in, messages out; the client carries them.

    Parameters
    ----------
    history : History
        What held when, shared with the device's machine; loaded from the same memory.
    key : Ed25519PublicKey or None
        Checks firmware; without one the device takes no update.
    at_s : callable
        Simulated time up to which samples have been made: what changes now, changes from there on.
    self_test : callable
        Result of a self-test, as the machine is now.
    """

    def __init__(  # noqa: PLR0913 - keyword-only parts of one device
        self,
        name: str,
        *,
        model: Model,
        memory: Memory,
        history: History,
        key: Ed25519PublicKey | None,
        at_s: Callable[[], int],
        wall_s: Callable[[], float],
        self_test: Callable[[], dict[str, Any]],
        rng: Random,
    ) -> None:
        self.at_s = at_s
        self._configured = Configured(
            name, settings=model.settings, memory=memory, history=history, at_s=at_s
        )
        self._obedient = Obedient(name, memory=memory, self_test=self_test, wall_s=wall_s)
        self._updating = Updating(
            name,
            product=model.name,
            memory=memory,
            history=history,
            key=key,
            at_s=at_s,
            rng=rng,
        )

    @property
    def firmware(self) -> str:
        return self._updating.version

    @property
    def wants_restart(self) -> bool:
        return self._obedient.wants_restart or self._updating.wants_restart

    def started(self, boot: int) -> None:
        """The device has started, for whatever reason."""
        self._obedient.started(boot)
        self._updating.started()

    def connected(self, *, now_s: float) -> list[Said]:
        """Return what is to be said after a birth: what may have got lost, and what is so now."""
        self._updating.connected(now_s=now_s)
        return [self._configured.report(), *self._obedient.untold()]

    def hear(self, kind: str, payload: bytes, *, now_s: float) -> list[Said]:
        match kind:
            case "config":
                return self._configured.hear(payload)
            case "command":
                return self._obedient.hear(payload, now_s=now_s)
            case "firmware":
                return self._updating.hear_offer(payload, now_s=now_s)
            case "chunk":
                return self._updating.hear_piece(payload, now_s=now_s)
            case _:
                return []

    def tick(self, now_s: float) -> list[Said]:
        return [*self._obedient.tick(now_s), *self._updating.tick(now_s)]

    def taken(self, receipt: str) -> None:
        """The broker has taken an answer."""
        self._obedient.told(receipt)
