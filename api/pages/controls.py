"""Settings and commands of one device: what is wanted, what is there, and the forms that change it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import store
from api.accounts import Person
from api.auth import Context, Ctx, ReaderManufacturer, WriterManufacturer
from api.pages.render import render
from api.rest.model import DeviceName
from core.errors import ConflictError, ForecareError, InvalidError
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
    return _page(request, context, person, name)


@router.post("/devices/{name}/settings")
def change_setting(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterManufacturer,
    request: Request,
    context: Ctx,
    name: DeviceName,
    key: Key,
    expected_version: Annotated[int, Form(ge=0, le=2**62)],
    value: Value = "",
) -> Response:
    """Set one value; an empty one gives the key back to the product."""
    try:
        twin.change_configuration(
            context.pool,
            name=name,
            patch=parse_pairs([f"{key.strip()}={value.strip() or 'null'}"]),
            actor=person.actor,
            now=context.clock(),
            expected_version=expected_version,
        )
    except (InvalidError, ConflictError) as error:
        tried = {"key": key, "value": value}
        return _page(request, context, person, name, at="setting", error=error, tried=tried)
    return RedirectResponse(f"/devices/{name}/settings#config", 303)


@router.post("/devices/{name}/commands")
def give_command(  # noqa: PLR0913, PLR0917 - each is one field of the form
    person: WriterManufacturer,
    request: Request,
    context: Ctx,
    name: DeviceName,
    command: Annotated[str, Form(min_length=1, max_length=48)],
    args: Value = "",
    deadline: Annotated[str, Form(max_length=20)] = "10 min",
) -> Response:
    now = context.clock()
    try:
        draft = CommandDraft(
            id=device_commands.new_command_id(),
            device=name,
            name=command.strip(),
            args=_args(args),
            deadline_at=now + _duration(deadline),
            actor=person.actor,
        )
        device_commands.give_command(context.pool, draft, now=now)
    except (InvalidError, ConflictError) as error:
        tried = {"command": command, "args": args, "deadline": deadline}
        return _page(request, context, person, name, at="command", error=error, tried=tried)
    return RedirectResponse(f"/devices/{name}/settings#commands", 303)


@router.post("/devices/{name}/commands/{command_id}/cancel")
def cancel_command(
    _person: WriterManufacturer, context: Ctx, name: DeviceName, command_id: str
) -> Response:
    device_commands.cancel_command(
        context.pool, device=name, command_id=command_id, now=context.clock()
    )
    return RedirectResponse(f"/devices/{name}/settings#commands", 303)


def _page(  # noqa: PLR0913 - the page, and what was tried on it
    request: Request,
    context: Context,
    person: Person,
    name: str,
    *,
    at: str = "",
    error: ForecareError | None = None,
    tried: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Show the page; after a form that was refused with what was typed and, above it, why."""
    with context.pool.connection() as connection:
        device = store.device(connection, name, person=person, now=context.clock())
        product = store.product_of(connection, device.id)
    empty = {"key": "", "value": "", "command": "", "args": "", "deadline": "10 min"}
    return render(
        request,
        "controls.html",
        status=200 if error is None else 409 if isinstance(error, ConflictError) else 422,
        person=person,
        wall=context.clock(),
        device=device,
        product=product,
        settings={setting.name: setting for setting in product.settings},
        config=twin.configuration(context.pool, name=name),
        changes=twin.changes(context.pool, name=name, limit=_CHANGES),
        commands=device_commands.commands(context.pool, device=name, limit=_COMMANDS),
        problems={at: error} if error else {},
        tried=empty | dict(tried or {}),
    )


def _args(text: str) -> dict[str, Any]:
    return parse_pairs(text.split())


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"the time limit: {error}", hint='write "10 min" or "2 h"') from error
