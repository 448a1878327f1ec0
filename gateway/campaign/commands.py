"""`forecare campaign`: bring a firmware version to a fleet, in stages."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from core.clock import wall_now
from core.errors import InvalidError
from core.terminal import show_table
from gateway.campaign import rollout, service, words
from gateway.campaign.member import State
from gateway.campaign.records import Campaign, CampaignDetail, CampaignDraft, MemberRow
from gateway.campaign.store import CampaignFilter
from gateway.terminal import open_pool

_BY = "command line"
_ROWS_MAX = 500
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


@click.group()
def campaign() -> None:
    """Bring a firmware version to a fleet, in stages, and stop when it is worse.

    \b
    A campaign from the first step to the last:
      forecare firmware key init signing.pem
      forecare firmware add heat_pump 4.3.0 build/aria9.bin --key signing.pem
      forecare campaign create --product heat_pump --version 4.3.0 --cohort 1%,10%,50%,100%
      forecare campaign start 1
      forecare campaign show 1
    """


@campaign.command("create")
@click.option("--product", required=True, help="Name of a registered product.")
@click.option(
    "--version", required=True, help="Version of an image that `forecare firmware add` has kept."
)
@click.option("--title", default="", help="What people call it. Default: product and version.")
@click.option(
    "--from-version",
    "from_versions",
    multiple=True,
    help="Only devices that run this version. May be repeated.",
)
@click.option(
    "--lot", "lots", multiple=True, help="Only devices of this production lot. May be repeated."
)
@click.option(
    "--cohort",
    default="1%,10%,50%,100%",
    show_default=True,
    help="Stages: rising shares of the devices.",
)
@click.option(
    "--rate", default="600/h", show_default=True, help="Devices that begin, such as 50/h or 10/min."
)
@click.option(
    "--hold",
    default="1 h",
    show_default=True,
    help="Shortest length of a stage, by the wall clock.",
)
@click.option(
    "--watch",
    default="1 d",
    show_default=True,
    help="Data per updated device before the next stage, by the devices' clock. 0 d: none.",
)
@click.option(
    "--tries", default=5, show_default=True, help="How often one device is offered the version."
)
@click.option(
    "--install-within",
    default="24 h",
    show_default=True,
    help="From downloaded to the beginning of the installation.",
)
@click.option(
    "--tolerate",
    default="5%",
    show_default=True,
    help="Share of failing updates that is no reason to stop.",
)
@click.option(
    "--false-stops",
    default="2%",
    show_default=True,
    help="Share of harmless campaigns that may be stopped by chance.",
)
@click.option("--start", is_flag=True, help="Start it at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def campaign_create(
    product: str,
    version: str,
    title: str,
    from_versions: tuple[str, ...],
    lots: tuple[str, ...],
    cohort: str,
    rate: str,
    hold: str,
    watch: str,
    tries: int,
    install_within: str,
    tolerate: str,
    false_stops: str,
    start: bool,
    as_json: bool,
) -> None:
    """Plan a campaign; nothing is offered before it is started.

    Which device belongs to which stage is drawn by lot, the same for ever. A stage ends when every
    device of it that is there has come to its end, the updated ones have sent enough data, and the
    hold is over. The campaign stops itself when the updates fail, or the new version is detected
    more often than the old one, beyond chance.
    """
    draft = CampaignDraft(
        product=product,
        version=version,
        title=title,
        from_versions=from_versions,
        lots=lots,
        stages=tuple(share(part, "--cohort") for part in cohort.split(",")),
        per_hour=per_hour(rate),
        hold=span(hold, "--hold"),
        watch=span(watch, "--watch"),
        offers_max=tries,
        install_within=span(install_within, "--install-within"),
        tolerated_failures=share(tolerate, "--tolerate"),
        false_stops=share(false_stops, "--false-stops"),
    )
    with open_pool() as pool:
        made = service.create_campaign(pool, draft, by=_BY, now=wall_now())
        if start:
            made = service.start(pool, campaign_id=made.id, by=_BY, now=wall_now())
    if as_json:
        click.echo(_json(made))
    elif start:
        click.echo(
            f"campaign {made.id} runs; `forecare campaign show {made.id}` says how far it is"
        )
    else:
        click.echo(f"campaign {made.id} is planned; `forecare campaign start {made.id}` starts it")


@campaign.command("list")
@click.option("--product", default=None, help="Only campaigns of this product.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def campaign_list(product: str | None, as_json: bool) -> None:
    """List the campaigns, the newest first."""
    with open_pool() as pool:
        found = service.campaigns(pool, CampaignFilter(product=product, limit=_ROWS_MAX))
        counts = service.counts_by_campaign(pool, [one.id for one in found])
    if as_json:
        for one in found:
            click.echo(_json(one))
        return
    if not found:
        click.echo("no campaign yet; `forecare campaign create --help` tells how to plan one")
        return
    rows = [_row(one, counts[one.id]) for one in found]
    show_table(
        ("campaign", "version", "state", "stage", "devices", "installed", "failed", "why"), rows
    )


@campaign.command("show")
@click.argument("campaign_id", type=int)
@click.option("--devices", is_flag=True, help="Also list its devices.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(list(State)),
    help="With --devices: only those in this state. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def campaign_show(campaign_id: int, devices: bool, states: tuple[str, ...], as_json: bool) -> None:
    """Say how far a campaign is, what speaks for and against it, and what was done."""
    with open_pool() as pool:
        found = service.campaign(pool, campaign_id=campaign_id)
        rows: tuple[MemberRow, ...] = ()
        if devices or states:
            rows = service.members(
                pool, campaign_id=campaign_id, states=states or None, limit=_ROWS_MAX
            )
    if as_json:
        members = [asdict(row) for row in rows]
        click.echo(_json(asdict(found) | ({"devices": members} if devices or states else {})))
        return
    _show(found)
    if devices or states:
        columns = ("device", "stage", "state", "runs", "offers", "since", "why")
        show_table(columns, [_member_cells(row) for row in rows])
        if len(rows) == _ROWS_MAX:
            click.echo(f"the first {_ROWS_MAX}; --state narrows them down")


@campaign.command("start")
@click.argument("campaign_id", type=int)
def campaign_start(campaign_id: int) -> None:
    """Share the devices out over the stages and begin with the first one."""
    _act(service.start, campaign_id, "runs")


@campaign.command("pause")
@click.argument("campaign_id", type=int)
@click.option("--reason", default="", help="Kept in its history.")
def campaign_pause(campaign_id: int, reason: str) -> None:
    """Offer it to nobody else. Devices in the middle of it go on."""
    _act(service.pause, campaign_id, "pauses", reason=reason)


@campaign.command("resume")
@click.argument("campaign_id", type=int)
def campaign_resume(campaign_id: int) -> None:
    """Go on after a pause, or in spite of an automatic stop.

    After a stop it stops again only when ten times as much speaks against the version.
    """
    _act(service.resume, campaign_id, "runs again")


@campaign.command("cancel")
@click.argument("campaign_id", type=int)
@click.option("--reason", default="", help="Kept in its history.")
def campaign_cancel(campaign_id: int, reason: str) -> None:
    """End it: offers are withdrawn. What is being installed cannot be called back."""
    _act(service.cancel, campaign_id, "is cancelled", reason=reason)


@campaign.command("retry")
@click.argument("campaign_id", type=int)
@click.option("--device", default=None, help="Only this device.")
def campaign_retry(campaign_id: int, device: str | None) -> None:
    """Let devices whose update failed or rolled back try again."""
    with open_pool() as pool:
        count = service.retry(pool, campaign_id=campaign_id, device=device, by=_BY, now=wall_now())
    click.echo(f"{count} wait for another offer")


def share(text: str, option: str) -> float:
    """Read a share such as 10% or 0.1. Pure."""
    number = text.strip()
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidError(f"{option} {text!r} is no share", hint="write 10% or 0.1")
    return value


def per_hour(text: str) -> int:
    """Read a rate such as 50/h. Pure."""
    number, _, unit = text.replace(" ", "").partition("/")
    times = {"h": 1, "min": 60, "s": 3600}.get(unit)
    if not number.isdecimal() or times is None:
        raise InvalidError(f"--rate {text!r} is no rate", hint="write 50/h, 10/min or 2/s")
    return int(number) * times


def span(text: str, option: str) -> timedelta:
    """Read a span such as 24 h. Pure."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise InvalidError(
            f"{option} {text!r} is no span of time", hint="write 30 min, 24 h or 2 d"
        )
    return float(match[1]) * _UNITS[match[2]]


def _act(action: Callable[..., Campaign], campaign_id: int, done: str, **more: str) -> None:
    with open_pool() as pool:
        action(pool, campaign_id=campaign_id, by=_BY, now=wall_now(), **more)
    click.echo(f"campaign {campaign_id} {done}")


def _show(found: CampaignDetail) -> None:
    one = found.campaign
    click.echo(
        f"campaign {one.id}: {one.title}, {one.state}" + (f" ({one.reason})" if one.reason else "")
    )
    shares = ", ".join(
        f"[{share * 100:.3g} %]" if number == one.stage else f"{share * 100:.3g} %"
        for number, share in enumerate(one.stages)
    )
    click.echo(f"stages: {shares}; at most {one.per_hour:,} devices an hour")
    states = rollout.by_state(found.counts)
    shown = ", ".join(f"{state.value.replace('_', ' ')} {n:,}" for state, n in states.items() if n)
    click.echo(f"devices: {shown or 'shared out when it is started'}")
    if one.verdict is not None:
        click.echo(words.detections_sentence(one.verdict, version=one.version))
        if one.verdict.failed:
            click.echo(words.failures_sentence(one.verdict))
    for event in reversed(found.events):
        click.echo(f"  {event.at:%Y-%m-%d %H:%M:%S} {event.action} by {event.actor} {event.reason}")


def _row(one: Campaign, counts: Any) -> tuple[str, ...]:
    devices = Counter(counts)
    return (
        str(one.id),
        f"{one.product} {one.version}",
        one.state,
        f"{one.stage + 1} of {len(one.stages)}",
        f"{devices.total():,}",
        f"{devices[State.INSTALLED]:,}",
        f"{devices[State.FAILED] + devices[State.ROLLED_BACK]:,}",
        one.reason,
    )


def _member_cells(row: MemberRow) -> tuple[str, ...]:
    since = f"{row.since:%Y-%m-%d %H:%M:%S}"
    return (
        row.device,
        str(row.stage + 1),
        row.state,
        row.firmware,
        str(row.offers),
        since,
        row.reason,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: object) -> object:
    if isinstance(value, timedelta | datetime):
        return str(value)
    raise NotImplementedError(type(value))
