"""A device's side of commands: notes an id, does it once, and answers a repeat with the same outcome."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from firmware_sim import log
from firmware_sim.memory import Deed, Memory
from firmware_sim.said import Said, say

SELF_TEST_S = 1.0
"""How long a self-test takes, wall time."""


class _Command(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    name: Annotated[str, msgspec.Meta(max_length=64)]
    args: dict[str, Any] = {}
    deadline: int = 2**62


_decoder = msgspec.json.Decoder(_Command)


class Obedient:
    """What one device was told to do.

    The id is on disk before anything is done. After a crash in between a restart counts as done,
    since the device has started anew; anything else has failed, since nobody knows how far it came.
    """

    def __init__(
        self,
        device: str,
        *,
        memory: Memory,
        self_test: Callable[[], dict[str, Any]],
        wall_s: Callable[[], float],
    ) -> None:
        self.wants_restart = False
        self._device = device
        self._memory = memory
        self._self_test = self_test
        self._wall_s = wall_s
        self._tests: dict[str, float] = {}
        """Self-tests that run, and when they end (monotonic seconds)."""

    def started(self, boot: int) -> None:
        """The device has started: what was in its hands then is over."""
        self.wants_restart = False
        self._tests.clear()
        for deed in self._memory.open_deeds(self._device):
            if deed.name == "restart":
                self._end(deed.id, "done", {"boot": boot})
            else:
                self._end(deed.id, "failed", {"error": "interrupted by a restart"})

    def untold(self) -> list[Said]:
        return [self._answer(deed) for deed in self._memory.untold_deeds(self._device)]

    def told(self, command_id: str) -> None:
        self._memory.note_told(self._device, command_id)

    def hear(self, payload: bytes, *, now_s: float) -> list[Said]:
        try:
            command = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.warning("device.command_unreadable", device=self._device)
            return []
        known = self._memory.deed(self._device, command.id)
        if known is not None:
            return [self._answer(known)]
        self._memory.begin_deed(self._device, command.id, command.name)
        log.info("device.commanded", device=self._device, command=command.name)
        if command.deadline <= self._wall_s() * 1000:
            return [self._end(command.id, "failed", {"error": "heard after its deadline"})]
        return [_acknowledgement(command.id), *self._do(command, now_s=now_s)]

    def tick(self, now_s: float) -> list[Said]:
        over = [command_id for command_id, ends_s in self._tests.items() if ends_s <= now_s]
        for command_id in over:
            del self._tests[command_id]
        return [self._end(command_id, "done", self._self_test()) for command_id in over]

    def _do(self, command: _Command, *, now_s: float) -> list[Said]:
        match command.name:
            case "restart":
                self.wants_restart = True
                return []
            case "self_test":
                self._tests[command.id] = now_s + SELF_TEST_S
                return []
            case "identify":
                seconds = command.args.get("seconds", 10)
                return [self._end(command.id, "done", {"blinked_s": seconds})]
            case _:
                return [self._end(command.id, "failed", {"error": "unknown command"})]

    def _end(self, command_id: str, outcome: str, result: dict[str, Any]) -> Said:
        self._memory.end_deed(self._device, command_id, outcome=outcome, result=result)
        deed = self._memory.deed(self._device, command_id)
        assert deed is not None
        return self._answer(deed)

    @staticmethod
    def _answer(deed: Deed) -> Said:
        if not deed.outcome:
            return _acknowledgement(deed.id)
        message = {"id": deed.id, "state": deed.outcome, "result": deed.result}
        return say("answer", message, receipt=deed.id)


def _acknowledgement(command_id: str) -> Said:
    return say("answer", {"id": command_id, "state": "acknowledged"})
