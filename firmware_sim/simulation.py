"""The run of a whole fleet: samples into the spool in step with the line, people acting in between."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_sim import log
from firmware_sim.clock import monotonic_s, wall_s
from firmware_sim.connection import Identity, parse_address
from firmware_sim.controller import Controller
from firmware_sim.courier import Courier
from firmware_sim.dialects import BEHIND, SPARKPLUG, dialect_of, node_of
from firmware_sim.errors import RefusedError, UnreachableError
from firmware_sim.fleet import Fleet, Unit
from firmware_sim.machine import FAULT_METRIC, STEP_S, Machine
from firmware_sim.memory import Memory
from firmware_sim.model import Model
from firmware_sim.noise import key_of
from firmware_sim.pace import GRACE_S, Reached, may_go_on
from firmware_sim.payload import rows_of
from firmware_sim.people_at_work import People
from firmware_sim.rest import Api
from firmware_sim.sparkplug.session import declared_by
from firmware_sim.spool import Count, Spool
from firmware_sim.state import State
from firmware_sim.technicians import seconds_of
from firmware_sim.tls import TlsFiles
from firmware_sim.truth import write_truth
from firmware_sim.wrong_clocks import wrong_clocks

DAY_S = 86_400
BLOCK_S = 6 * 3600
_LOOK_EVERY_S = 0.4
_LIVE_LOOK_EVERY_S = 10.0
_DECIDED_BEHIND_END_S = 12 * 3600
_MIDDLE_OF_NOWHERE = Reached(stored_s=None, scored_s=None, decided_s=None)

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a simulator keeps what it must remember."""

    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def spool(self) -> Path:
        return self.directory / "spool.db"

    @property
    def memory(self) -> Path:
        return self.directory / "memory.db"

    @property
    def truth(self) -> Path:
        return self.directory / "truth.json"


class Simulation:
    """One run. `stop()` may be called from a signal handler."""

    def __init__(  # noqa: PLR0913 - keyword-only parts of one run
        self,
        *,
        fleet: Fleet,
        state: State,
        files: Files,
        api: Api,
        people: People,
        speed: float | None,
        is_live: bool,
        report: Report,
        firmware_key: Ed25519PublicKey | None = None,
        tls: TlsFiles | None = None,
        mqtt_url: str = "",
    ) -> None:
        self._fleet = fleet
        self._state = state
        self._files = files
        self._api = api
        self._people = people
        self._speed = speed
        self._is_live = is_live
        self._report = report
        self._is_stopping = False
        self._firmware_key = firmware_key
        self._spool = Spool(files.spool)
        self._memory = Memory(files.memory)
        self._courier = Courier(
            address=parse_address(mqtt_url or state.mqtt_url),
            spool=self._spool,
            monotonic_s=monotonic_s,
            tls=tls,
        )
        self._dialects = {
            unit.name: dialect_of(place, state.speak) for place, unit in enumerate(fleet.units)
        }
        self._wrong_clocks = wrong_clocks(
            fleet, count=state.wrong_clocks, speak=state.speak, block_s=BLOCK_S
        )
        self._behind: dict[str, list[int]] = {}
        """By the node's name the places of the devices behind it."""
        for place, unit in enumerate(fleet.units):
            if self._dialects[unit.name] is BEHIND:
                node = fleet.units[node_of(place, state.speak)].name
                self._behind.setdefault(node, []).append(place)
        for unit, machine in self._pairs():
            self._add(unit, machine)
        self._made_s = min(self._spool.mark(unit.name) for unit in fleet.units)
        self._whole = {unit.product: _whole_metrics(m.model) for unit, m in self._pairs()}
        self._reached = _MIDDLE_OF_NOWHERE
        self._moved_s = monotonic_s()
        self._seen: object = None
        self._asked_s = self._reported_s = float("-inf")
        self._truth_day = -1
        self._counts: dict[str, Count] = {}

    def stop(self) -> None:
        self._is_stopping = True

    def run(self) -> None:
        """Run to the end of the days (or live until stopped), then let go of everything in order."""
        try:
            self._history()
            if self._is_live:
                self._live()
            elif not self._is_stopping:
                self._settle()
        finally:
            self._courier.close(seconds=2.0)
            self._write_truth()
            self._spool.close()
            self._memory.close()
            self._people.close()
        self._tell("stopped" if self._is_stopping else "finished")

    def _history(self) -> None:
        began_wall, began_made = monotonic_s(), self._made_s
        while not self._is_stopping and self._made_s < self._end_s():
            until_s = min(self._made_s + BLOCK_S - self._made_s % BLOCK_S, self._end_s())
            self._people.act(now_s=self._made_s, until_s=until_s)
            if self._speed is not None:
                due = began_wall + (until_s - began_made) / self._speed
                self._courier.run(max(0.0, due - monotonic_s()), until=lambda: self._is_stopping)
            self._make(until_s)
            self._wait_for_the_line()

    def _end_s(self) -> int:
        """Live, the history ends where the wall clock has come to meanwhile."""
        end_s = self._fleet.end_s
        return max(end_s, int(wall_s()) // STEP_S * STEP_S) if self._is_live else end_s

    def _wait_for_the_line(self) -> None:
        while not self._is_stopping:
            self._courier.run(_LOOK_EVERY_S / 4, until=lambda: self._is_stopping)
            self._look(every_s=_LOOK_EVERY_S)
            still_s = monotonic_s() - self._moved_s
            if may_go_on(
                self._made_s,
                self._reached,
                start_s=self._fleet.start_s,
                waiting_a_device=self._spool.waiting_in_all() / len(self._fleet.units),
                still_s=still_s,
            ):
                if still_s > GRACE_S:
                    log.warning("line.still", seconds=round(still_s), made_s=self._made_s)
                    self._moved_s = monotonic_s()
                return

    def _settle(self) -> None:
        """Wait until everything is stored and decided, as far as the line will go."""
        goal_s = self._fleet.end_s - _DECIDED_BEHIND_END_S
        for client in self._courier.clients.values():
            client.is_held = False
        while not self._is_stopping:
            self._courier.run(_LOOK_EVERY_S, until=lambda: self._is_stopping)
            self._look(every_s=_LOOK_EVERY_S)
            self._people.act(now_s=self._made_s, until_s=self._made_s)
            is_stored = self._spool.waiting_in_all() == 0 and not self._people.are_claiming()
            if is_stored and (self._reached.leading_s or 0) >= goal_s:
                return
            if is_stored and monotonic_s() - self._moved_s > GRACE_S:
                log.warning("line.still", seconds=round(GRACE_S), made_s=self._made_s)
                return

    def _live(self) -> None:
        acted_s = float("-inf")
        while not self._is_stopping:
            now_s = int(wall_s()) // STEP_S * STEP_S
            has_room = self._spool.waiting_in_all() < 600 * len(self._fleet.units)
            if now_s > self._made_s and has_room:
                self._make(min(now_s, self._made_s + BLOCK_S))
            if monotonic_s() - acted_s > _LIVE_LOOK_EVERY_S:
                acted_s = monotonic_s()
                self._people.act(now_s=self._made_s, until_s=self._made_s + STEP_S)
            self._courier.run(1.0, until=lambda: self._is_stopping)
            self._look(every_s=_LIVE_LOOK_EVERY_S)

    def _make(self, until_s: int) -> None:
        """Make the samples up to `until_s`: all of the fleet's, or after a crash none of them."""
        entries = []
        for unit, machine in self._pairs():
            block = machine.block(self._made_s, until_s)
            sent = {name: values[block.is_sent] for name, values in block.metrics.items()}
            clock = self._wrong_clocks.get(unit.name)
            shown_ms = block.measured_at_ms
            if clock is not None:
                shown_ms = clock.shown_ms(shown_ms, block.at_s)
            rows = rows_of(shown_ms[block.is_sent], sent, whole=self._whole[unit.product])
            entries.append((unit.name, self._dialects[unit.name].bodies(unit.name, rows)))
        self._spool.append(entries, mark=until_s)
        self._made_s = until_s
        down = {
            outage.device
            for outage in self._fleet.plan.outages
            if outage.start_s <= until_s < outage.end_s
        }
        for place, unit in enumerate(self._fleet.units):
            if unit.name in self._courier.clients:
                self._courier.clients[unit.name].is_held = place in down
        self._courier.wake()
        if until_s // DAY_S != self._truth_day:
            self._truth_day = until_s // DAY_S
            self._write_truth()

    def _look(self, *, every_s: float) -> None:
        """Ask how far the line is, and report progress."""
        if monotonic_s() - self._asked_s < every_s:
            return
        self._asked_s = monotonic_s()
        self._reached = self._ask()
        counts = self._spool.counts()
        confirmed = sum(count.confirmed for count in counts.values())
        seen = (self._reached, confirmed)
        if seen != self._seen:
            self._seen, self._moved_s = seen, monotonic_s()
        if monotonic_s() - self._reported_s >= 1.0:
            self._reported_s = monotonic_s()
            self._tell("progress")

    def _ask(self) -> Reached:
        try:
            answers = [self._api.get(f"/api/v1/progress/{product}") for product in self._whole]
        except (UnreachableError, RefusedError):
            return self._reached  # the people say when the platform is silent

        def slowest(stage: str) -> int | None:
            reached = [answer.get(stage) for answer in answers]
            return None if None in reached else min(seconds_of(str(at)) for at in reached)

        return Reached(
            stored_s=slowest("stored_through"),
            scored_s=slowest("scored_through"),
            decided_s=slowest("decided_through"),
        )

    def _tell(self, event: str) -> None:
        if event == "progress":
            self._counts = self._spool.counts()
        counts = self._counts
        reached_s = self._reached.leading_s
        self._report(
            {
                "event": event,
                "day": round((self._made_s - self._fleet.start_s) / DAY_S, 2),
                "of": self._state.days,
                "decided_day": round((reached_s - self._fleet.start_s) / DAY_S, 2)
                if reached_s
                else None,
                "made": sum(count.made for count in counts.values()),
                "stored": sum(count.confirmed for count in counts.values()),
                "tickets": self._people.tickets(),
                "visits": sum(visit.is_reported for visit in self._state.visits),
                "problems": [*self._courier.problems(), *self._people.problems()],
            }
        )

    def _write_truth(self) -> None:
        self._counts = self._spool.counts()
        write_truth(
            self._files.truth,
            fleet=self._fleet,
            state=self._state,
            through_s=self._made_s,
            counts=self._counts,
            wrong_clocks=self._wrong_clocks,
        )

    def _add(self, unit: Unit, machine: Machine) -> None:
        """Give a device its way to the platform, and a controller if its language has words for it."""
        boot = self._spool.start(unit.name, mark=self._fleet.start_s)
        rng = Random(key_of(self._fleet.seed, unit.name, boot))  # noqa: S311 - jitter, no secret
        credential = self._state.credentials[unit.name]
        identity = Identity(
            name=unit.name,
            shard=credential["shard"],
            password=credential["password"],
            product=unit.product,
            firmware=unit.firmware,
        )
        dialect = self._dialects[unit.name]
        if dialect is BEHIND:
            return  # its node speaks for it
        if dialect is SPARKPLUG:
            declares = {unit.name: declared_by(machine.model)}
            for place in self._behind.get(unit.name, ()):
                model = self._fleet.machines[place].model
                declares[self._fleet.units[place].name] = declared_by(model)
            self._courier.add_node(identity, boot=boot, rng=rng, declares=declares)
        else:
            controller = self._controller(unit, machine, rng)
            self._courier.add(identity, boot=boot, rng=rng, controller=controller, dialect=dialect)

    def _controller(self, unit: Unit, machine: Machine, rng: Random) -> Controller:
        """Give a device its controller, and its machine what the device remembers."""
        self._memory.add(unit.name, firmware=unit.firmware)
        machine.history = self._memory.history(unit.name)
        return Controller(
            unit.name,
            model=machine.model,
            memory=self._memory,
            history=machine.history,
            key=self._firmware_key,
            at_s=lambda: self._made_s,
            wall_s=wall_s,
            self_test=lambda: _self_test(machine, self._made_s),
            rng=rng,
        )

    def _pairs(self) -> Iterable[tuple[Unit, Machine]]:
        return zip(self._fleet.units, self._fleet.machines, strict=True)


def _self_test(machine: Machine, at_s: int) -> dict[str, Any]:
    """Look at the machine as its own controller can: it knows its fault code and nothing of wear."""
    code = int(machine.fault_codes(np.asarray([at_s], dtype=np.int64))[0])
    return {"passed": code == 0, "fault_code": code}


def _whole_metrics(model: Model) -> frozenset[str]:
    return frozenset({FAULT_METRIC, *(meter.name for meter in model.meters if meter.decimals == 0)})
