"""`forecare simulate`: a fleet of invented devices and people that uses the platform from outside."""

import fcntl
import os
import signal
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

import click
import orjson
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from firmware_sim import log
from firmware_sim.claiming import Claimants
from firmware_sim.clock import monotonic_s, pause, wall_s
from firmware_sim.connection import parse_address
from firmware_sim.dialects import parse_dialects
from firmware_sim.errors import SimulatorError, UnreachableError
from firmware_sim.first_contact import (
    Contact,
    ProductKey,
    contact_all,
    new_nonce,
    parse_product_keys,
)
from firmware_sim.fleet import LOTS, MODELS, Fleet, make_fleet
from firmware_sim.people_at_work import People
from firmware_sim.provision import draw_people, let_speak, provision, read_sheets
from firmware_sim.rest import Api
from firmware_sim.simulation import DAY_S, Files, Report, Simulation
from firmware_sim.state import State, load_state, save_state
from firmware_sim.surroundings import choose_login, surroundings
from firmware_sim.tls import TlsFiles
from firmware_sim.updating import read_key

_SHEETS = Path(__file__).resolve().parent.parent / "gateway" / "sheets"
_DEVICES_MAX = 5000
_PROVISION_WAIT_S = 60.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--devices", default=40, show_default=True, type=click.IntRange(1, _DEVICES_MAX))
@click.option(
    "--days", default=60.0, show_default=True, type=click.FloatRange(0.25, 400),
    help="How many days of history end now.",
)  # fmt: skip
@click.option(
    "--speed", default="max", show_default=True,
    help="Simulated seconds a second (600 or 600x); `max` goes as fast as the line takes it.",
)  # fmt: skip
@click.option(
    "--seed", default=8, show_default=True, type=click.IntRange(0, 999),
    help="Another seed is another fleet, with other names. The demo's fleet is number 7.",
)  # fmt: skip
@click.option(
    "--api", "api_url", default=None,
    help="Address of the platform.  [default: http://127.0.0.1:8000, or FORECARE_HTTP_PORT]",
)  # fmt: skip
@click.option(
    "--login", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='JSON file {"email": …, "password": …} of a manufacturer.  [default: the login of the demo'
    " on this machine, demo_login.json in the runtime folder]",
)  # fmt: skip
@click.option("--email", default="", help="Manufacturer's e-mail address, instead of --login.")
@click.option(
    "--password",
    default="",
    envvar="SIMULATE_PASSWORD",
    help="Its password; better in SIMULATE_PASSWORD.",
)
@click.option(
    "--state", "directory", default=None, type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the spool, the credentials and the truth; the same folder goes on where it was."
    "  [default: `simulate` in the runtime folder]",
)  # fmt: skip
@click.option(
    "--inbox", type=click.Path(path_type=Path, file_okay=False),
    help="Maildir in which the owners' mail arrives. Without it nobody answers.  [default: `inbox` in"
    " the runtime folder, where there is one]",
)  # fmt: skip
@click.option("--products", default="heat_pump,water_pump", show_default=True)
@click.option(
    "--sheets", default=_SHEETS, type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the product sheets that are brought along.",
)  # fmt: skip
@click.option("--live", is_flag=True, help="Go on in real time when the history is over.")
@click.option(
    "--ahead", default=0, show_default=True, type=click.IntRange(0, 100),
    help="So many parts more that wear at the end of the history and fail in the weeks after it; of"
    " their owners only one books a visit.",
)  # fmt: skip
@click.option(
    "--bad-lot", default="", type=click.Choice(("", *LOTS)), show_default=False, metavar="LOT",
    help=f"A lot with a bad part, most of whose devices fail of it: {', '.join(LOTS)}.",
)  # fmt: skip
@click.option(
    "--speak", default="json", show_default=True, metavar="LIST",
    help="What the devices send, dealt out over the fleet: json, senml (SenML JSON), cbor (SenML CBOR),"
    " sparkplug (each an edge node of Sparkplug B, which takes no settings, commands or firmware), behind"
    " (stands behind the node before it, which speaks for it).",
)  # fmt: skip
@click.option(
    "--wrong-clocks", default=0, show_default=True, type=click.IntRange(0, _DEVICES_MAX),
    help="So many devices lose the time at the end of the history: some run hours ahead, some start in"
    " 1970. truth.json says which.",
)  # fmt: skip
@click.option(
    "--firmware-key", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public key (PEM) with which the devices check firmware; without one they take no update.",
)  # fmt: skip
@click.option(
    "--provision-url", default="",
    help="First-contact port of the platform, such as mqtt://127.0.0.1:1884.",
)  # fmt: skip
@click.option(
    "--provision-key", "provision_keys", multiple=True, metavar="PRODUCT=KEY:SECRET",
    help="Devices of this product come for their credential by themselves; nobody owns them until somebody"
    " claims them.",
)  # fmt: skip
@click.option(
    "--claim", "labels", type=click.Path(path_type=Path, dir_okay=False), metavar="LABELS",
    help="File of what is printed on devices, as `forecare device label` writes it. The owner of each device"
    " in it claims the device with its code. The file may come and grow while this runs.",
)  # fmt: skip
@click.option(
    "--tls-dir", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with a folder for each device: ca.crt, device.crt, device.key of `forecare ca device`.",
)  # fmt: skip
@click.option(
    "--mqtt-url", default="",
    help="Address of the broker, if it is not the one that the platform names: mqtts://HOST:8883.",
)  # fmt: skip
@click.option(
    "--progress", "style", default="auto", show_default=True,
    type=click.Choice(["auto", "bar", "json"]),
)  # fmt: skip
def simulate(
    devices: int,
    days: float,
    speed: str,
    seed: int,
    api_url: str | None,
    login: Path | None,
    email: str,
    password: str,
    directory: Path | None,
    inbox: Path | None,
    products: str,
    sheets: Path,
    live: bool,
    ahead: int,
    bad_lot: str,
    speak: str,
    wrong_clocks: int,
    firmware_key: Path | None,
    provision_url: str,
    provision_keys: tuple[str, ...],
    labels: Path | None,
    tls_dir: Path | None,
    mqtt_url: str,
    style: str,
) -> None:
    """Let a fleet of simulated heat pumps and water pumps live on the platform.

    It is a stranger: it registers products and devices through the REST API, sends telemetry over MQTT
    with a spool of its own, reads the owners' mail, books visits through the links in it, and repairs
    what the technicians find. Parts wear, sensors lie, lines go down; what was really done to the fleet
    is in truth.json of the --state folder.

    Beside a demo on this machine nothing but the size is needed. Beside `forecare serve` it also needs
    an account. FORECARE_RUNTIME_DIR names the runtime folder, if it is not .runtime in this folder.

    \b
    forecare simulate --devices 10 --days 14 --speed max
    forecare account add you@example.com --role manufacturer
    forecare simulate --devices 10 --email you@example.com --password …
    forecare simulate --devices 10 --speak json,senml,cbor,sparkplug
    forecare simulate --devices 3 --provision-url mqtt://… --provision-key heat_pump=… --claim labels.txt
    """
    around = surroundings(os.environ)
    api_url = api_url or around.api_url
    directory = directory or around.state
    inbox = inbox or (around.inbox if around.inbox.is_dir() else None)
    who = choose_login(file=login, email=email, password=password, around=around)
    wanted, factor = _names(products), _speed(speed)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(directory):
        files = Files(directory=directory)
        given = _new_state(devices, days, seed, wanted, ahead)
        given.bad_lot = bad_lot
        given.speak, given.wrong_clocks = parse_dialects(speak), wrong_clocks
        state = load_state(files.state) or given
        _check_same(state, given)
        fleet = _fleet_of(state)
        api = Api(api_url, email=who.email, password=who.password, timeout_s=60)
        keys = parse_product_keys(provision_keys)
        if len(state.credentials) < len(fleet.units):
            _first_run(api, fleet, state, files, sheets, come_themselves=keys)
            _first_contacts(fleet, state, files, keys=keys, url=provision_url)
            fleet = _fleet_of(state)
        let_speak(api, fleet=fleet, state=state, save=lambda: save_state(files.state, state))
        quick_api = Api(api_url, email=who.email, password=who.password, timeout_s=4)
        people = People(
            fleet=fleet,
            state=state,
            inbox=inbox,
            api_url=api_url,
            save=lambda: save_state(files.state, state),
            claimants=_claimants(labels, fleet, state, files, api_url) if labels else None,
        )
        with _Teller(style, days=state.days) as teller:
            simulation = Simulation(
                fleet=fleet,
                state=state,
                files=files,
                api=quick_api,
                people=people,
                speed=factor,
                is_live=live,
                report=teller.tell,
                firmware_key=read_key(firmware_key) if firmware_key else None,
                tls=TlsFiles(directory=tls_dir) if tls_dir else None,
                mqtt_url=mqtt_url,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda _number, _frame: simulation.stop())
            simulation.run()
        api.close()
        quick_api.close()


def _claimants(labels: Path, fleet: Fleet, state: State, files: Files, api_url: str) -> Claimants:
    return Claimants(
        labels=labels,
        units={unit.name: unit for unit in fleet.units},
        state=state,
        api_url=api_url,
        save=lambda: save_state(files.state, state),
        monotonic_s=monotonic_s,
    )


def _names(products: str) -> list[str]:
    names = [name.strip() for name in products.split(",") if name.strip()]
    unknown = sorted(set(names) - set(MODELS))
    if unknown or not names:
        raise SimulatorError(
            f"no such product: {', '.join(unknown) or repr(products)}",
            hint=f"choose from {', '.join(MODELS)}",
        )
    return names


def _speed(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        value = float(speed.removesuffix("x"))
    except ValueError:
        value = 0.0
    if not value > 0:
        raise SimulatorError(f"--speed is {speed!r}", hint="give `max` or a number above 0")
    return value


def _new_state(devices: int, days: float, seed: int, products: list[str], ahead: int) -> State:
    start_s = (int(wall_s()) - int(days * DAY_S)) // 3600 * 3600
    return State(
        seed=seed, devices=devices, days=days, products=products, start_s=start_s, ahead=ahead
    )


def _options_of(state: State) -> str:
    same = f"--devices {state.devices} --days {state.days:g} --seed {state.seed}"
    same += f" --products {','.join(state.products)} --ahead {state.ahead}"
    if state.bad_lot:
        same += f" --bad-lot {state.bad_lot}"
    return f"{same} --speak {','.join(state.speak)} --wrong-clocks {state.wrong_clocks}"


def _check_same(state: State, given: State) -> None:
    if (same := _options_of(state)) != _options_of(given):
        raise SimulatorError(
            f"the --state folder belongs to another run: {same}",
            hint="give the same options to go on with it; or, for a second fleet beside it, another"
            " --state folder and another --seed",
        )


def _fleet_of(state: State) -> Fleet:
    """Build the fleet and do again the repairs that were done."""
    fleet = make_fleet(
        devices=state.devices,
        days=state.days,
        seed=state.seed,
        start_s=state.start_s,
        products=state.products,
        ahead=state.ahead,
        bad_lot=state.bad_lot,
    )
    for repair in state.repairs:
        fleet.plan.failures[repair["failure"]].repaired_s = repair["repaired_s"]
    for machine in fleet.machines:
        machine.name = state.names.get(machine.name, machine.name)
    units = (replace(unit, name=state.names.get(unit.name, unit.name)) for unit in fleet.units)
    return replace(fleet, units=tuple(units))


def _first_contacts(
    fleet: Fleet, state: State, files: Files, *, keys: Mapping[str, ProductKey], url: str
) -> None:
    """Let devices come for their credential that have none: the nonces are on disk before."""
    units = {
        unit.name: unit
        for unit in fleet.units
        if unit.product in keys and unit.name not in state.names
    }
    if not units:
        return
    if not url:
        raise SimulatorError("no --provision-url", hint="`forecare product key` shows the address")
    for name in units:
        state.nonces.setdefault(name, new_nonce())
    save_state(files.state, state)

    def keep(name: str, contact: Contact) -> None:
        state.names[name] = contact.device
        state.credentials[contact.device] = {"shard": contact.shard, "password": contact.password}
        state.mqtt_url = contact.mqtt_url
        save_state(files.state, state)

    address = parse_address(url)
    contact_all(units, address=address, keys=keys, nonces=state.nonces, keep=keep)


def _first_run(
    api: Api,
    fleet: Fleet,
    state: State,
    files: Files,
    sheets: Path,
    *,
    come_themselves: Collection[str],
) -> None:
    contents = read_sheets(sheets, state.products)
    if not state.technicians:
        draw_people(fleet, state)
    save_state(files.state, state)
    ends_s = monotonic_s() + _PROVISION_WAIT_S
    has_waited = False
    while True:
        try:
            provision(
                api,
                fleet=fleet,
                state=state,
                sheets=contents,
                save=lambda: save_state(files.state, state),
                come_themselves=come_themselves,
            )
        except UnreachableError as error:
            if monotonic_s() > ends_s:
                error.hint = error.hint or (
                    "`forecare serve` starts a platform on this machine; --api gives another address"
                )
                raise
            if not has_waited:
                log.warning("provision.wait", detail=error.message)
            has_waited = True
            pause(1.0)
        else:
            return


class _only_one:  # noqa: N801 - reads as a statement
    """Hold a lock on the folder: two simulators with the same identities would cut each other off."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SimulatorError(
                f"another simulator uses {self._path.parent}",
                hint="stop it, or take another --state",
            ) from error

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()


class _Teller:
    """Shows progress: a bar for people at a terminal, else a line of JSON now and then."""

    def __init__(self, style: str, *, days: float) -> None:
        is_terminal = sys.stdout.isatty()
        self._bar: Progress | None = None
        if style == "bar" or (style == "auto" and is_terminal):
            self._bar = Progress(
                TextColumn("day {task.completed:5.1f} of {task.total:g}"),
                BarColumn(),
                TextColumn(
                    "{task.fields[stored]:,} samples stored, {task.fields[tickets]} tickets"
                ),
                TimeRemainingColumn(),
            )
            self._task = self._bar.add_task("days", total=days, stored=0, tickets=0)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def tell(self) -> Report:
        return self._tell

    def _tell(self, event: dict[str, Any]) -> None:
        if self._bar:
            self._bar.update(
                self._task,
                completed=event["day"],
                stored=event["stored"],
                tickets=event["tickets"],
            )
        else:
            click.echo(orjson.dumps(event).decode())
