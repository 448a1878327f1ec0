"""The firmware campaigns of the demo: an image that does not install and is stopped, and one that does.

They run beside the watch over the processes, in a thread of their own, so that a database that is away
does not hold that up. What was done is read from the rows each time, so a demo that was killed goes
on where it was.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from core.clock import wall_now
from core.endpoints import database_url
from core.errors import PermanentError, RetryableError
from core.pool import Pool, make_pool
from core.settings import Settings
from gateway.campaign import service as campaigns
from gateway.campaign.member import State
from gateway.campaign.records import Campaign, CampaignDraft
from gateway.campaign.store import CampaignFilter
from gateway.firmware import image as images
from gateway.firmware import service as firmware
from gateway.firmware.service import FirmwareDraft

_PRODUCT = "heat_pump"
_LOOK_EVERY_S = 1.0
_IMAGE_S = 60.0
_BY = "demo"
_PATIENCE = 0.6
"""Share of the history after which the second campaign begins, whatever became of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One campaign of the story."""

    version: str
    title: str
    notes: str
    begins_at: float
    """Share of the history that is over then."""
    behaviour: tuple[str, ...] = ()
    """Options with which the simulator writes the image."""


FAULTY = Planned(
    version="4.5.0-rc1",
    title="Quieter defrosting, first try",
    notes="Quieter defrosting. Release candidate.",
    begins_at=0.2,
    behaviour=("--fails", "1"),
)
SOUND = Planned(
    version="4.5.0",
    title="Quieter defrosting",
    notes="Quieter defrosting. Installs on devices with little free memory too.",
    begins_at=0.35,
    behaviour=("--reboots", "0.1", "--rolls-back", "0.05"),
)
_SHARED = CampaignDraft(
    product=_PRODUCT,
    version="",
    stages=(0.15, 0.5, 1.0),
    per_hour=36_000,
    hold=timedelta(0),
    watch=timedelta(days=1),
)


def ensure_key(settings: Settings) -> Path:
    """Return the public key that the simulated devices trust, made at the first start."""
    file = _key_file(settings)
    public = file.with_name(f"{file.name}.pub")
    if not public.exists():
        pem = images.new_key()
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(pem)
        key = images.read_private_key(pem, source=str(file))
        public.write_text(images.public_pem(key.public_key().public_bytes_raw()), encoding="ascii")
    return public


class DemoCampaigns:
    """Starts the campaigns when the history has come so far."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._share = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo campaigns", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)

    def hear(self, news: list[dict[str, Any]]) -> None:
        """Take note of how far the history is."""
        for line in news:
            if line.get("event") == "progress":
                self._share = float(line["day"]) / max(1.0, float(line["of"]))

    def _run(self) -> None:
        pool: Pool | None = None
        try:
            while not self._stop.wait(_LOOK_EVERY_S):
                if self._share < FAULTY.begins_at:
                    continue
                pool = pool or make_pool(database_url(self._settings), name="demo", size_max=1)
                with suppress(psycopg.OperationalError, PoolTimeout, RetryableError):
                    if self._go_on(pool):
                        return
        except PermanentError:
            return  # a fleet without such devices has nothing to show here
        finally:
            if pool is not None:
                pool.close()

    def _go_on(self, pool: Pool) -> bool:
        """Do the next thing that is due; returns whether the story is told."""
        found = _by_version(pool)
        if FAULTY.version not in found:
            self._begin(pool, FAULTY)
            return False
        first = found[FAULTY.version]
        patience = SOUND.begins_at if first.state == "stopped" else _PATIENCE
        if self._share < patience:
            return False
        if first.state not in ("done", "cancelled"):
            reason = "4.5.0 takes its place"
            campaigns.cancel(pool, campaign_id=first.id, by=_BY, reason=reason, now=wall_now())
        if SOUND.version in found and found[SOUND.version].state != "draft":
            return True
        self._begin(pool, SOUND, made=found.get(SOUND.version))
        return True

    def _begin(self, pool: Pool, planned: Planned, *, made: Campaign | None = None) -> None:
        self._keep_image(pool, planned)
        if made is None:
            draft = CampaignDraft(
                product=_PRODUCT,
                version=planned.version,
                title=planned.title,
                stages=_SHARED.stages,
                per_hour=_SHARED.per_hour,
                hold=_SHARED.hold,
                watch=_SHARED.watch,
            )
            made = campaigns.create_campaign(pool, draft, by=_BY, now=wall_now())
        campaigns.start(pool, campaign_id=made.id, by=_BY, now=wall_now())

    def _keep_image(self, pool: Pool, planned: Planned) -> None:
        file = self._settings.runtime_path / "firmware" / f"{planned.version}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "firmware_sim.image", "--version", planned.version]
        command += [*planned.behaviour, str(file)]
        subprocess.run(command, check=True, timeout=_IMAGE_S, stdout=subprocess.DEVNULL)
        image = file.read_bytes()
        source = _key_file(self._settings)
        key = images.read_private_key(source.read_bytes(), source=str(source))
        draft = FirmwareDraft(
            product=_PRODUCT,
            version=planned.version,
            image=image,
            signature=images.sign(key, product=_PRODUCT, version=planned.version, image=image),
            public_key=key.public_key().public_bytes_raw(),
            notes=planned.notes,
        )
        firmware.add_firmware(pool, draft, by=_BY, now=wall_now())


def count_campaigns(settings: Settings) -> dict[str, object]:
    """Return what came of the campaigns, for the demo's counts."""
    pool = make_pool(database_url(settings), name="demo count", size_max=1)
    try:
        found = _by_version(pool)
        counts = campaigns.counts_by_campaign(pool, [one.id for one in found.values()])
    finally:
        pool.close()
    sound = found.get(SOUND.version)
    states: Mapping[State, int] = counts[sound.id] if sound else {}
    stops = sum(1 for one in found.values() if one.verdict and one.verdict.is_worse)
    return {
        "campaign_state": sound.state if sound else "not started",
        "campaign_devices": sum(states.values()),
        "campaign_installed": states.get(State.INSTALLED, 0),
        "campaigns_stopped": stops,
    }


def _by_version(pool: Pool) -> dict[str, Campaign]:
    wanted = CampaignFilter(product=_PRODUCT, limit=100)
    return {one.version: one for one in campaigns.campaigns(pool, wanted)}


def _key_file(settings: Settings) -> Path:
    return settings.runtime_path / "demo_signing.pem"
