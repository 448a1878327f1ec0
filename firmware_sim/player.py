"""Plays recordings as devices, through the same device client, as fast as the line takes them.

    python -m firmware_sim.player --list DIRECTORY
    python -m firmware_sim.player --plan plan.json

The plan: {"mqtt_url": "mqtt://127.0.0.1:1883", "state": "replay-state", "devices": [{"name": "bench-0",
"product": "skab", "shard": "a3", "password": "…", "file": "valve1/0.csv"}, …]}. Relative paths start at
the plan's folder. The same state folder goes on where it was. Labels are never sent.
"""

import hashlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import click
import msgspec
import orjson

from firmware_sim.clock import monotonic_s
from firmware_sim.connection import Identity, parse_address
from firmware_sim.courier import Courier
from firmware_sim.errors import SimulatorError
from firmware_sim.noise import key_of
from firmware_sim.payload import make_bodies, rows_of
from firmware_sim.recordings import PRODUCT, Recording, read_recording, read_recordings
from firmware_sim.spool import Spool

_ROWS_AT_ONCE = 5000
_REPORT_EVERY_S = 1.0
_PATIENCE_S = 120.0


class PlannedDevice(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    shard: str
    password: str
    file: str
    product: str = PRODUCT


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    mqtt_url: str
    state: str
    devices: list[PlannedDevice]


def read_plan(path: Path) -> Plan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise SimulatorError(f"the plan cannot be read: {error}") from error
    except msgspec.DecodeError as error:
        raise SimulatorError(
            f"{path} is no plan: {error}", hint="`python -m firmware_sim.player --help` shows one"
        ) from error


class Player:
    """Plays one plan. `stop()` may be called from a signal handler."""

    def __init__(
        self,
        plan: Plan,
        *,
        folder: Path,
        patience_s: float,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self._plan = plan
        self._patience_s = patience_s
        self._report = report
        self.is_stopping = False
        # Read first: a bad file must show before anything is sent.
        self._recordings = {d.name: read_recording(folder / d.file) for d in plan.devices}
        state = folder / plan.state
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._spool = Spool(state / "spool.db")
        self._courier = Courier(
            address=parse_address(plan.mqtt_url), spool=self._spool, monotonic_s=monotonic_s
        )
        for device in plan.devices:
            boot = self._spool.start(device.name, mark=0)
            self._courier.add(
                Identity(
                    name=device.name,
                    shard=device.shard,
                    password=device.password,
                    product=device.product,
                    firmware="recording",
                ),
                boot=boot,
                rng=Random(key_of(device.name, boot)),  # noqa: S311 - jitter, no secret
            )

    def stop(self) -> None:
        self.is_stopping = True

    def run(self) -> bool:
        """Play to the end; False if it was stopped or the line stood still for too long."""
        confirmed, moved_s, reported_s = -1, monotonic_s(), float("-inf")
        is_done = False
        try:
            while not self.is_stopping and not is_done:
                self._feed()
                self._courier.run(0.1, until=lambda: self.is_stopping)
                totals = self._totals()
                if totals["confirmed"] != confirmed:
                    confirmed, moved_s = totals["confirmed"], monotonic_s()
                is_done = totals["sent"] == totals["samples"] and self._spool.waiting_in_all() == 0
                if not is_done and monotonic_s() - moved_s > self._patience_s:
                    break
                if monotonic_s() - reported_s > _REPORT_EVERY_S:
                    reported_s = monotonic_s()
                    self._report({"event": "progress", **totals})
        finally:
            self._courier.close()
            event = "finished" if is_done else "stopped"
            self._report(
                {
                    "event": event,
                    **self._totals(),
                    "devices": self._per_device(),
                    "problems": list(self._courier.problems()),
                }
            )
            self._spool.close()
        return is_done

    def _feed(self) -> None:
        """Keep some messages of each device in the spool until its recording is over."""
        for name, recording in self._recordings.items():
            mark = self._spool.mark(name)
            if mark < len(recording) and self._spool.waiting(name) < 2:
                until = min(len(recording), mark + _ROWS_AT_ONCE)
                self._spool.append([(name, make_bodies(_rows(recording, mark, until)))], mark=until)
                self._courier.clients[name].wake()

    def _per_device(self) -> dict[str, int]:
        counts = self._spool.counts()
        return {name: counts[name].confirmed for name in self._recordings}

    def _totals(self) -> dict[str, int]:
        counts = self._spool.counts()
        return {
            "samples": sum(len(recording) for recording in self._recordings.values()),
            "sent": sum(counts[name].made for name in self._recordings),
            "confirmed": sum(counts[name].confirmed for name in self._recordings),
        }


def _rows(recording: Recording, begin: int, end: int) -> list[list[object]]:
    metrics = {name: values[begin:end] for name, values in recording.metrics.items()}
    return rows_of(recording.measured_at_ms[begin:end], metrics)


def describe(recording: Recording, *, name: str) -> dict[str, object]:
    """What a caller must know to enrol a recording as a device; moments in RFC 3339."""
    return {
        "name": name,
        "file": str(recording.path.resolve()),
        "product": PRODUCT,
        "digest": hashlib.sha256(recording.path.read_bytes()).hexdigest(),
        "rows": len(recording),
        "from": _rfc3339(int(recording.measured_at_ms.min())),
        "until": _rfc3339(int(recording.measured_at_ms.max())),
    }


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plan", "plan", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of devices and their recordings.",
)  # fmt: skip
@click.option(
    "--list", "directory", type=click.Path(path_type=Path),
    help="Only say which recordings lie below a folder, a line of JSON each.",
)  # fmt: skip
@click.option(
    "--patience", default=_PATIENCE_S, show_default=True, help="Seconds without any confirmation."
)
def play(plan: Path | None, directory: Path | None, patience: float) -> None:
    """Play recordings as devices, as fast as the line takes them; labels are never sent.

    The plan is a JSON file. Relative paths in it start at its own folder; with the same state folder a
    second run goes on where the first one was. The last line of output holds the totals.

    \b
    {"mqtt_url": "mqtt://127.0.0.1:1883", "state": "replay-state", "devices": [
      {"name": "bench-0", "shard": "a3", "password": "…", "product": "skab", "file": "valve1/0.csv"}]}
    """
    if directory is not None:
        for recording in read_recordings(directory):
            click.echo(orjson.dumps(describe(recording, name=recording.name)))
        return
    if plan is None:
        raise SimulatorError("nothing to play", hint="give --plan FILE, or --list DIRECTORY")
    player = Player(
        read_plan(plan),
        folder=plan.resolve().parent,
        patience_s=patience,
        report=lambda event: click.echo(orjson.dumps(event)),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: player.stop())
    if not player.run() and not player.is_stopping:
        raise SimulatorError(
            f"nothing was confirmed for {patience:g} seconds",
            hint="does ingest run, and may these devices connect? The same plan goes on where it was",
        )


if __name__ == "__main__":
    play()
