"""`forecare evaluate skab`: faults of a water-circulation bench, seen by the scorer that serves live devices."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from anomaly.judge.published import SKAB_SKIPPED, row_figures
from anomaly.records import BoolArray, FloatArray, Output, Samples
from bench.evaluate.followed import replay
from bench.evaluate.report import Report, common_options, deliver
from core.product import Product
from firmware_sim.recordings.skab import Recording, read_recordings
from gateway.sheet import shipped_sheet

COOLDOWN_S = 60.0
"""Alerts that come back within a minute were never over."""
_US = 1e6


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One recording."""

    name: str
    is_caught: bool | None
    """None: it has no event."""
    delay_s: float | None
    opened_within: bool | None
    """Whether an alert opened within the event; False where it was open before."""
    false_runs: int
    healthy_s: float


@click.command()
@common_options
def command(data: Path, seeds: tuple[int, ...], *, as_json: bool, folder: Path) -> None:
    """Recordings of the SKAB bench, each as a device of the shipped sheet `skab`.

    Each device learns in its first 400 s; the threshold follows from the sheet's false-alarm budget, so no
    recording is looked at to choose it. An event is caught when an alert is open while it lasts; every
    alert that opened outside events is a false run, also one that is still open when an event begins.
    """
    started = time.monotonic()
    product = shipped_sheet("skab")
    recordings = read_recordings(data)
    alarms = [alarmed(product, recording) for recording in recordings]
    report = Report(
        name="skab",
        figures=figures_of(recordings, alarms),
        controls={"always_on": figures_of(recordings, [_always(r) for r in recordings])},
        seeds=seeds,
        seconds=time.monotonic() - started,
        details={
            "recordings": [
                msgspec.to_builtins(judge(r, a)) for r, a in zip(recordings, alarms, strict=True)
            ]
        },
        notes=(
            "Nothing is drawn at random: all seeds give the same figures.",
            "opened_within counts the events in which an alert opened; caught ones may have been alarmed before.",
        ),
    )
    deliver(report, as_json=as_json, folder=folder)


def alarmed(product: Product, recording: Recording) -> BoolArray:
    """Tell for each row whether an alert is open, all of them through the live scorer."""
    values = np.stack([recording.metrics[m.name] for m in product.metrics], axis=1)
    order = np.argsort(recording.measured_at_ms, kind="stable")
    at_us = recording.measured_at_ms[order] * 1000
    output = replay(product, Samples(at_us=at_us, values=values[order]))
    open_rows = np.zeros(len(at_us), dtype=np.bool_)
    for opened, cleared in _alerts(output, until_us=int(at_us[-1])):
        first, last = np.searchsorted(at_us, [opened, cleared + 1])
        open_rows[first:last] = True
    found = np.empty_like(open_rows)
    found[order] = open_rows
    return found


def _alerts(output: Output, *, until_us: int) -> list[tuple[int, int]]:
    """Alerts from the detections of wear, those within the cool-down merged."""
    alerts: list[tuple[int, int]] = []
    opened: int | None = None
    for detection in output.detections:
        if detection.kind != "wear":
            continue
        if detection.change == "raised":
            opened = detection.at_us
            if alerts and opened - alerts[-1][1] <= COOLDOWN_S * _US:
                opened = alerts.pop()[0]
        elif opened is not None:
            alerts.append((opened, detection.at_us))
            opened = None
    return alerts if opened is None else [*alerts, (opened, until_us)]


def judge(recording: Recording, alarm: BoolArray) -> Judged:
    """Judge one recording by its events and alerts."""
    at_s = recording.measured_at_ms / 1000
    is_faulty = _faulty(recording)
    begins = np.flatnonzero(np.diff(alarm.astype(np.int8), prepend=0) == 1)
    scored = at_s >= at_s[0] + SKAB_SKIPPED
    false_runs = int((~is_faulty[begins]).sum())
    healthy = float((scored & ~is_faulty).sum())
    if not is_faulty.any():
        return Judged(name=recording.name, is_caught=None, delay_s=None, opened_within=None,
                      false_runs=false_runs, healthy_s=healthy)  # fmt: skip
    caught = np.flatnonzero(is_faulty & alarm)
    start = at_s[np.flatnonzero(is_faulty)[0]]
    return Judged(
        name=recording.name,
        is_caught=bool(len(caught)),
        delay_s=float(at_s[caught[0]] - start) if len(caught) else None,
        opened_within=bool(is_faulty[begins].any()),
        false_runs=false_runs,
        healthy_s=healthy,
    )


def figures_of(recordings: Sequence[Recording], alarms: Sequence[BoolArray]) -> Mapping[str, Any]:
    """Put recordings together: the published scorer on rows, and what matters on events."""
    judged = [judge(r, a) for r, a in zip(recordings, alarms, strict=True)]
    events = [one for one in judged if one.is_caught is not None]
    delays: FloatArray = np.array([one.delay_s for one in events if one.delay_s is not None])
    rows = row_figures(
        np.concatenate([a[SKAB_SKIPPED:] for a in alarms]),
        np.concatenate([_faulty(r)[SKAB_SKIPPED:] for r in recordings]),
    )
    hours = sum(one.healthy_s for one in judged) / 3600
    false_runs = sum(one.false_runs for one in judged)
    return {
        "events": len(events),
        "events_caught": sum(bool(one.is_caught) for one in events),
        "opened_within": sum(bool(one.opened_within) for one in events),
        "median_delay_s": float(np.median(delays)) if len(delays) else None,
        "false_runs": false_runs,
        "false_runs_per_hour": false_runs / hours if hours else None,
        "healthy_hours": hours,
        "f1": rows.f1,
        "far": rows.far,
        "mar": rows.mar,
    }


def _faulty(recording: Recording) -> BoolArray:
    if recording.anomaly is None:
        return np.zeros(len(recording), dtype=np.bool_)
    return np.asarray(recording.anomaly > 0)


def _always(recording: Recording) -> BoolArray:
    """Alarm from the end of the learning time on."""
    at_s = recording.measured_at_ms / 1000
    return np.asarray(at_s >= at_s[0] + SKAB_SKIPPED)
