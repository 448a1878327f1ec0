"""Plays recordings through the line and counts what came of them, from the database."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from core.clock import monotonic_s, pause, wall_now
from core.endpoints import database_url, mqtt_url, runtime_paths
from core.errors import InvalidError, PermanentError, RetryableError
from core.line import (
    forget_data,
    handed_on,
    only_runner,
    stage_programs,
    start_servers,
    stop_servers,
)
from core.pool import Pool, connect, make_pool
from core.product import product_from_json
from core.runtime import service as runtime
from core.runtime.ports import free_port
from core.runtime.progress import console_progress
from core.settings import Settings
from core.sql import Queries
from core.supervisor import Supervisor
from gateway import service as gateway
from gateway.broker import sync_broker
from gateway.records import DeviceCredential, DeviceDraft
from gateway.sheet import sheet_path

queries = Queries("bench")

_OWN = "replay"
_STAGES_NEEDED = 3
_DECIDED_WITHIN_S = 600.0
_PLAYER = (sys.executable, "-m", "firmware_sim.player")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One file of samples, as the reader of its layout describes it."""

    name: str
    """Path of the file below the folder, without its ending."""
    file: str
    product: str
    digest: str
    rows: int
    from_at: datetime
    until_at: datetime

    @property
    def device(self) -> str:
        """The device's name: the same file is the same device wherever it lies."""
        plain = "".join(c if c.isalnum() or c in "_-" else "-" for c in self.name)
        return f"{self.product}-{plain}"[:55].rstrip("-") + f"-{self.digest[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    recording: str
    device: str
    sent: int
    confirmed: int
    stored: int
    refused: int
    detections: int
    detected_at: datetime | None
    tickets: int
    ticketed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    product: str
    rows: tuple[Row, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        total = {
            key: sum(getattr(row, key) for row in self.rows)
            for key in ("sent", "confirmed", "stored", "refused", "detections", "tickets")
        }
        lost = sum(max(0, row.confirmed - row.stored - row.refused) for row in self.rows)
        return {
            "product": self.product,
            "recordings": len(self.rows),
            **total,
            "lost": lost,
            "seconds": round(self.seconds, 1),
            "per_recording": [asdict(row) for row in self.rows],
        }


def run_replay(settings: Settings, directory: Path, *, console: Console, is_own: bool) -> Report:
    """Play all recordings below a folder and wait until the last one is decided.

    A crash leaves what was confirmed stored; the same call again plays the rest and changes nothing
    of what is there.
    """
    started_s = monotonic_s()
    recordings = list_recordings(directory)
    (product,) = {recording.product for recording in recordings}
    console.print(
        f"{len(recordings)} recordings of {product}, {sum(r.rows for r in recordings):,} rows",
        highlight=False,
    )
    with _running_line(settings, console=console, is_own=is_own) as here:
        pool = make_pool(database_url(here), name="replay")
        try:
            credentials = _enrol(pool, here, product, recordings)
            confirmed = _play(here, recordings, credentials, console=console)
            _wait_until_decided(pool, product, recordings, console=console)
            rows = _count(pool, product, recordings, confirmed)
        finally:
            pool.close()
    return Report(product=product, rows=rows, seconds=monotonic_s() - started_s)


def list_recordings(directory: Path) -> tuple[Recording, ...]:
    """Ask the simulator's readers which recordings lie below a folder.

    Raises
    ------
    InvalidError
        If there is none, if they are of several products, or if a file breaks its layout.
    """
    result = subprocess.run(
        [*_PLAYER, "--list", str(directory)], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        what, _, remedy = result.stderr.strip().partition("\n")
        raise InvalidError(
            what.removeprefix("Error: ") or f"the recordings below {directory} cannot be read",
            hint=remedy.strip().removeprefix("how to mend it: "),
        )
    found = tuple(
        Recording(
            name=item["name"],
            file=item["file"],
            product=item["product"],
            digest=item["digest"],
            rows=item["rows"],
            from_at=datetime.fromisoformat(item["from"]),
            until_at=datetime.fromisoformat(item["until"]),
        )
        for item in map(json.loads, result.stdout.splitlines())
    )
    if not found:
        raise InvalidError(
            f"no recording below {directory}", hint="give the folder that holds the CSV files"
        )
    if len({recording.product for recording in found}) > 1:
        raise InvalidError(
            f"the recordings below {directory} are of several products",
            hint="replay one folder after the other",
        )
    return found


@contextlib.contextmanager
def _running_line(settings: Settings, *, console: Console, is_own: bool) -> Iterator[Settings]:
    """Use the line that runs, or start what is missing and stop it again."""
    if is_own:
        paths = runtime_paths(settings).instance(_OWN)
        settings = replace(settings, runtime_dir=str(paths.root), http_port=str(free_port()))
        forget_data(settings)
    with handed_on(settings):
        yield from _started(settings, console=console)


def _started(settings: Settings, *, console: Console) -> Iterator[Settings]:
    were_up = runtime.endpoints(runtime_paths(settings)) is not None
    if were_up and _are_stages_running(settings):
        yield settings
        return
    supervisor = Supervisor(settings.runtime_path / "log")
    with only_runner(settings):
        try:
            start_servers(settings, progress=console_progress(console))
            for program in stage_programs(settings):
                if program.name != "api":
                    supervisor.start(program)
            yield settings
        finally:
            supervisor.stop()
            if not were_up:
                stop_servers(settings)


def _are_stages_running(settings: Settings) -> bool:
    with connect(database_url(settings), name="replay") as connection:
        row = connection.execute(queries["running_stages"]).fetchone()
    return row is not None and row[0] == _STAGES_NEEDED


def _enrol(
    pool: Pool, settings: Settings, product: str, recordings: Sequence[Recording]
) -> dict[str, DeviceCredential]:
    sheet = sheet_path(product)
    toml_text = sheet.read_text(encoding="utf-8")
    gateway.register_product(pool, toml_text=toml_text, source=sheet.name, now=wall_now())
    known = {device.name for device in gateway.devices(pool, product=product)}
    drafts = [
        DeviceDraft(name=r.device, serial=r.device, delivered_at=r.from_at)
        for r in recordings
        if r.device not in known
    ]
    made = list(gateway.add_devices(pool, product=product, drafts=drafts, now=wall_now()))
    # A secret is shown once; who plays a recording again needs a new one.
    again = [r.device for r in recordings if r.device in known]
    made += [gateway.rotate_credential(pool, name=name, now=wall_now()) for name in again]
    sync_broker(pool, settings)
    return {credential.name: credential for credential in made}


def _play(
    settings: Settings,
    recordings: Sequence[Recording],
    credentials: dict[str, DeviceCredential],
    *,
    console: Console,
) -> dict[str, int]:
    """Let the player send everything; return the confirmed rows per device."""
    state = settings.runtime_path / "replay-spool"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    plan = {
        "mqtt_url": mqtt_url(settings),
        "state": str(state),
        "devices": [
            {
                "name": r.device,
                "product": r.product,
                "shard": credentials[r.device].shard,
                "password": credentials[r.device].password,
                "file": r.file,
            }
            for r in recordings
        ],
    }
    file = state / "plan.json"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(plan, stream)
    try:
        return _watch_player(file, total=sum(r.rows for r in recordings), console=console)
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _watch_player(plan: Path, *, total: int, console: Console) -> dict[str, int]:
    process = subprocess.Popen([*_PLAYER, "--plan", str(plan)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    confirmed: dict[str, int] = {}
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("sending", total=total)
            for line in process.stdout:
                news = json.loads(line)
                bar.update(task, completed=news["confirmed"])
                confirmed = news.get("devices", confirmed)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code != 0:
        raise RetryableError(f"the player ended with code {code}", hint="see its message above")
    return confirmed


def _wait_until_decided(
    pool: Pool, product: str, recordings: Sequence[Recording], *, console: Console
) -> None:
    window_s = _window_s(pool, product)
    names = [recording.device for recording in recordings]
    deadline = monotonic_s() + _DECIDED_WITHIN_S
    with console.status("waiting until everything is scored and decided"):
        while monotonic_s() < deadline:
            with pool.connection() as connection:
                row = connection.execute(
                    queries["replay_is_decided"], {"names": names, "window_s": window_s}
                ).fetchone()
            if row is not None and row[0]:
                return
            pause(0.2)
    raise PermanentError(
        f"not everything was decided within {_DECIDED_WITHIN_S:.0f} s",
        hint="look into anomaly.log and maintenance.log in the runtime folder's log/",
    )


def _window_s(pool: Pool, product: str) -> float:
    with pool.connection() as connection:
        row = connection.execute(queries["sheet"], {"product": product}).fetchone()
    assert row is not None
    return product_from_json(row[0]).window.total_seconds()


def _count(
    pool: Pool, product: str, recordings: Sequence[Recording], confirmed: dict[str, int]
) -> tuple[Row, ...]:
    names = [recording.device for recording in recordings]
    stored_query = sql.SQL(queries["replay_stored"]).format(
        table=sql.Identifier("telemetry", product)
    )
    span = {
        "names": names,
        "from_at": min(r.from_at for r in recordings),
        "until_at": max(r.until_at for r in recordings),
    }
    with pool.connection() as connection:
        stored: dict[str, int] = dict(connection.execute(stored_query, span).fetchall())
        results = {
            row[0]: row[1:]
            for row in connection.execute(queries["replay_results"], {"names": names}).fetchall()
        }
    rows = []
    for r in recordings:
        detections, detected_at, tickets, ticketed_at, refused = results[r.device]
        rows.append(
            Row(
                recording=r.name,
                device=r.device,
                sent=r.rows,
                confirmed=confirmed.get(r.device, 0),
                stored=stored.get(r.device, 0),
                refused=refused,
                detections=detections,
                detected_at=detected_at,
                tickets=tickets,
                ticketed_at=ticketed_at,
            )
        )
    return tuple(rows)
