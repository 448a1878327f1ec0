"""Settings and commands of one device: what is wanted, what is there, and the forms that change it."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import store
from api.auth import Ctx, ReaderManufacturer, WriterManufacturer
from api.pages.render import render
from api.rest.model import DeviceName
from core.errors import InvalidError
from core.units import parse_duration
from gateway.device_commands import service as device_commands
from gateway.device_commands.records import CommandDraft
from gateway.pairs import parse_pairs
from gateway.twin import service as twin

router = APIRouter(include_in_schema=False)

_COMMANDS = 20
_CHANGES = 20
Key = Annotated[str, Form(min_length=1, max_length=200)]
Value = Annotated[str, Form(max_length=2000)]


@router.get("/devices/{name}/settings")
def settings_page(
    person: ReaderManufacturer, request: Request, context: Ctx, name: DeviceName
) -> HTMLResponse:
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
    return render(
        request,
        "controls.html",
        person=person,
        wall=context.clock(),
        device=device,
        product=product,
        settings={setting.name: setting for setting in product.settings},
        config=twin.configuration(context.pool, name=name),
        changes=twin.changes(context.pool, name=name, limit=_CHANGES),
        commands=device_commands.commands(context.pool, device=name, limit=_COMMANDS),
    )


@router.post("/devices/{name}/settings")
def change_setting(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterManufacturer,
    context: Ctx,
    name: DeviceName,
    key: Key,
    expected_version: Annotated[int, Form(ge=0, le=2**62)],
    value: Value = "",
) -> Response:
    """Set one value; an empty one gives the key back to the product."""
    patch = parse_pairs([f"{key.strip()}={value.strip() or 'null'}"])
    twin.change_configuration(
        context.pool,
        name=name,
        patch=patch,
        actor=person.actor,
        now=context.clock(),
        expected_version=expected_version,
    )
    return RedirectResponse(f"/devices/{name}/settings", 303)


@router.post("/devices/{name}/commands")
def give_command(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterManufacturer,
    context: Ctx,
    name: DeviceName,
    command: Annotated[str, Form(min_length=1, max_length=48)],
    args: Value = "",
    deadline: Annotated[str, Form(max_length=20)] = "10 min",
) -> Response:
    now = context.clock()
    draft = CommandDraft(
        id=device_commands.new_command_id(),
        device=name,
        name=command.strip(),
        args=_args(args),
        deadline_at=now + _duration(deadline),
        actor=person.actor,
    )
    device_commands.give_command(context.pool, draft, now=now)
    return RedirectResponse(f"/devices/{name}/settings#commands", 303)


@router.post("/devices/{name}/commands/{command_id}/cancel")
def cancel_command(
    _person: WriterManufacturer, context: Ctx, name: DeviceName, command_id: str
) -> Response:
    device_commands.cancel_command(
        context.pool, device=name, command_id=command_id, now=context.clock()
    )
    return RedirectResponse(f"/devices/{name}/settings#commands", 303)


def _args(text: str) -> dict[str, Any]:
    return parse_pairs(text.split())


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"the time limit: {error}", hint='write "10 min" or "2 h"') from error
