"""What a person sees: what is being broken, what was counted so far, and the table at the end."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

from bench.chaos.faults import Struck
from bench.chaos.plan import TRAITS, Plan, Strike
from core.clock import monotonic_s

_PLAIN_EVERY_S = 15.0


class Show:
    """Lines for what has happened; on a terminal also a line for what happens now."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._doing = ""
        self._said_s = 0.0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def plan(self, plan: Plan, *, devices: int, messages_per_s: float) -> None:
        """Print everything that the run can be done again from."""
        self.say(
            f"seed {plan.seed}: {len(plan.strikes)} strikes in {plan.seconds:.0f} s,"
            f" {devices:,} devices, {messages_per_s:g} messages/s"
        )
        for strike in plan.strikes:
            hold = f" for {strike.hold_s:.1f} s" if strike.hold_s else ""
            self.say(f"  {strike.at_s:7.1f} s  {strike.fault}{hold}")
        for name, share in plan.shares().items():
            self.say(f"  {share:8.1%}   {name}")

    def doing(self, text: str) -> None:
        self._doing = text
        if self._console.is_terminal and self._status is None:
            self._status = self._console.status(text)
            self._status.start()

    def counted(self, progress: Mapping[str, int], *, elapsed_s: float) -> None:
        """Show the newest counts."""
        text = (
            f"{self._doing}  ·  {elapsed_s:.0f} s  ·  {progress.get('attempted', 0):,} made,"
            f" {progress.get('acknowledged', 0):,} times acknowledged,"
            f" {progress.get('waiting', 0):,} not yet confirmed,"
            f" {progress.get('connected', 0):,} connected"
        )
        if self._status is not None:
            self._status.update(text)
        elif monotonic_s() - self._said_s > _PLAIN_EVERY_S:
            self._said_s = monotonic_s()
            self.say(text)

    def struck(self, strike: Strike, struck: Struck, back_s: float | None, at_s: float) -> None:
        came = "struck" if struck.has_struck else "DID NOT STRIKE"
        back = "NOT BACK" if back_s is None else f"back after {back_s:.1f} s"
        note = f" ({struck.note})" if struck.note else ""
        self.say(f"  {at_s:7.1f} s  {strike.fault:22} {came}, {back}{note}")

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """Return the tables of a report."""
    counts = Table(title=f"chaos, seed {report['seed']}: {report['seconds']} s")
    counts.add_column("counted")
    counts.add_column("", justify="right")
    for name, value in _figures(report):
        counts.add_row(name, value)
    faults = Table(title="faults")
    for title in ("fault", "planned", "struck", "what it is"):
        faults.add_column(title, justify="right" if title in {"planned", "struck"} else "left")
    abouts = {fault.value: trait.about for fault, trait in TRAITS.items()}
    for name, tally in report["faults"].items():
        what = (tally.get("skipped") and f"skipped: {tally['skipped']}") or abouts[name]
        faults.add_row(name, str(tally["planned"]), str(tally["struck"]), what)
    back = Table(title="back after, seconds")
    for title in ("part", "strikes", "median", "most"):
        back.add_column(title, justify="left" if title == "part" else "right")
    for part, found in report["recovery_s"].items():
        back.add_row(part, str(found["strikes"]), f"{found['median']:.1f}", f"{found['max']:.1f}")
    return counts, faults, back


def _figures(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    letters, ingest = report["dead_letters"], report["ingest"]
    plain = ("attempted", "acknowledged", "confirmed", "stored", "lost", "missing_after_resend")
    return [
        *((name.replace("_", " "), f"{report[name]:,}") for name in plain),
        ("rows", f"{report['rows']:,}"),
        ("rows twice", f"{report['duplicates']['rows_twice']:,}"),
        ("repetitions absorbed", f"{report['duplicates']['absorbed']:,}"),
        ("unexpected rows", f"{report['unexpected_rows']:,}"),
        ("dead letters of poison", f"{letters['found']:,} of {letters['expected']:,}"),
        ("most memory of ingest", f"{ingest['rss_mib_max']:.0f} MiB"),
        ("most in flight", f"{ingest['in_flight_max']:,} of {ingest['receive_max']:,}"),
        *(
            ("reconnect storm over", f"{storm['all_back_s']} s, ingest {storm['ingest_back_s']} s")
            for storm in report["storms"]
        ),
    ]
