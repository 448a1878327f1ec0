"""The first run: brings sheets, technicians, owners and devices to the platform through its REST API."""

import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from firmware_sim.dialects import BEHIND, dialect_of, node_of
from firmware_sim.errors import RefusedError, SimulatorError
from firmware_sim.fleet import Fleet, Unit
from firmware_sim.people import make_technicians
from firmware_sim.rest import Api
from firmware_sim.state import State
from firmware_sim.truth import rfc3339

_CONFLICT = 409
_DEVICES_A_TECHNICIAN = 10
_TECHNICIANS_MIN, _TECHNICIANS_MAX = 2, 40
_OWNERS_WITH_LOGIN = 2
_DEVICES_A_CALL = 200


def read_sheets(directory: Path, products: list[str]) -> dict[str, bytes]:
    """Read the sheet of each product."""
    sheets = {}
    for product in products:
        path = directory / f"{product}.toml"
        try:
            sheets[product] = path.read_bytes()
        except OSError as error:
            raise SimulatorError(
                f"no sheet for {product}: {error}",
                hint="give the folder of the sheets with --sheets",
            ) from error
    return sheets


def draw_people(fleet: Fleet, state: State) -> None:
    """Draw the logins of technicians and of a few owners; saved before the platform hears of them."""
    count = max(_TECHNICIANS_MIN, min(_TECHNICIANS_MAX, len(fleet.units) // _DEVICES_A_TECHNICIAN))
    state.technicians = [
        {"email": technician.email, "password": secrets.token_urlsafe(12)}
        for technician in make_technicians(count, seed=fleet.seed)
    ]
    state.owners = [
        {"email": unit.household.email, "password": secrets.token_urlsafe(12)}
        for unit in fleet.units[:_OWNERS_WITH_LOGIN]
    ]


def provision(  # noqa: PLR0913 - keyword-only parts of a first run
    api: Api,
    *,
    fleet: Fleet,
    state: State,
    sheets: Mapping[str, bytes],
    save: Callable[[], None],
    come_themselves: Collection[str] = (),
) -> None:
    """Register everything that is not registered yet; `save` is called after each credential shown.
    Devices of the products in `come_themselves` are left out.

    Raises
    ------
    SimulatorError
        If devices of these names exist already: then their credentials are somewhere else.
    """
    for sheet in sheets.values():
        api.call("POST", "/api/v1/products", body=sheet, content_type="application/toml")
    _add_technicians(api, fleet, state)
    for product in sheets.keys() - set(come_themselves):
        units = [
            unit
            for unit in fleet.units
            if unit.product == product and unit.name not in state.credentials
        ]
        for begin in range(0, len(units), _DEVICES_A_CALL):
            _add_devices(api, product, units[begin : begin + _DEVICES_A_CALL], state)
            save()


def let_speak(api: Api, *, fleet: Fleet, state: State, save: Callable[[], None]) -> None:
    """Tell the platform which Sparkplug node speaks for which device behind it.

    Saying it twice changes nothing, so a crash in between needs no more than the next start.
    """
    told = dict(state.spoken_for)
    for place, unit in enumerate(fleet.units):
        if dialect_of(place, state.speak) is BEHIND:
            node = fleet.units[node_of(place, state.speak)].name
            if told.get(unit.name) != node:
                api.call("PUT", f"/api/v1/devices/{node}/speaks-for/{unit.name}")
                told[unit.name] = node
    if told != state.spoken_for:
        state.spoken_for = told
        save()


def _add_technicians(api: Api, fleet: Fleet, state: State) -> None:
    people = make_technicians(len(state.technicians), seed=fleet.seed)
    body = [
        {
            "name": person.name,
            "email": person.email,
            "password": login["password"],
            "phone": person.phone,
            "skills": list(person.skills),
            "timezone": person.city.timezone,
            "latitude": person.city.latitude,
            "longitude": person.city.longitude,
        }
        for person, login in zip(people, state.technicians, strict=True)
    ]
    try:
        answer = api.post("/api/v1/technicians", body)
        state.technician_ids = [int(item["id"]) for item in answer["items"]]
    except RefusedError as error:
        if error.status != _CONFLICT:
            raise


def _add_devices(api: Api, product: str, units: list[Unit], state: State) -> None:
    passwords = {login["email"]: login["password"] for login in state.owners}
    body = {"product": product, "devices": [_device(unit, passwords) for unit in units]}
    try:
        answer = api.post("/api/v1/devices", body)
    except RefusedError as error:
        if error.status == _CONFLICT:
            raise SimulatorError(
                f"the platform knows devices of this fleet already: {error.message}",
                hint="go on with the --state folder that holds their credentials, or take another --seed",
            ) from error
        raise
    state.mqtt_url = str(answer["mqtt_url"])
    for item in answer["items"]:
        shard = item["shard"]
        state.credentials[item["name"]] = {
            "shard": f"{shard:02x}" if isinstance(shard, int) else str(shard),
            "password": str(item["password"]),
        }


def _device(unit: Unit, passwords: Mapping[str, str]) -> dict[str, Any]:
    home = unit.household
    owner = {
        "name": home.owner,
        "email": home.email,
        "phone": home.phone,
        "locale": home.locale,
        "timezone": home.city.timezone,
    }
    if home.email in passwords:
        owner["password"] = passwords[home.email]
    return {
        "name": unit.name,
        "serial": unit.serial,
        "lot": unit.lot,
        "firmware": unit.firmware,
        "delivered_at": rfc3339(unit.delivered_s),
        "owner": owner,
        "site": {
            "name": home.site,
            "address": home.address,
            "city": home.city.name,
            "timezone": home.city.timezone,
            "latitude": home.latitude,
            "longitude": home.longitude,
            "access_note": home.access_note,
        },
    }
