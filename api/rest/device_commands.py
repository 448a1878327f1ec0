"""Commands to devices: given, followed, taken back."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field

from api.auth import CallerManufacturer, Ctx
from api.rest.model import DeviceName, Input, Limit, Page, Text, When, page_of
from gateway.device_commands import service as device_commands
from gateway.device_commands.records import Command, CommandDraft

_DEADLINE_S_MAX = 30 * 86_400

CommandId = Annotated[str, Path(pattern=r"^c-[A-Za-z0-9_-]{8,62}$")]

router = APIRouter(prefix="/api/v1/devices/{name}/commands", tags=["commands to devices"])


class NewCommand(Input):
    name: Text
    args: dict[str, Any] = Field(default_factory=dict)
    deadline_s: Annotated[int, Field(ge=1, le=_DEADLINE_S_MAX)] = 600
    """After so long the device is not told any more."""
    id: Annotated[str | None, Field(pattern=r"^c-[A-Za-z0-9_-]{8,62}$")] = None
    """An id of the caller's own: the same one twice is one command."""


@router.post("", status_code=201)
def give_command(
    person: CallerManufacturer, context: Ctx, name: DeviceName, body: NewCommand
) -> Command:
    """Tell a device to do something once."""
    now = context.clock()
    draft = CommandDraft(
        id=body.id or device_commands.new_command_id(),
        device=name,
        name=body.name,
        args=body.args,
        deadline_at=now + timedelta(seconds=body.deadline_s),
        actor=person.actor,
    )
    return device_commands.give_command(context.pool, draft, now=now)


@router.get("")
def list_commands(
    _person: CallerManufacturer,
    context: Ctx,
    name: DeviceName,
    before: When | None = None,
    limit: Limit = 100,
) -> Page[Command]:
    """List what a device was told to do, newest first; `before` continues below an instant."""
    items = device_commands.commands(context.pool, device=name, before=before, limit=limit)
    return page_of(items, limit=limit, cursor="created_at")


@router.get("/{command_id}")
def one_command(
    _person: CallerManufacturer, context: Ctx, name: DeviceName, command_id: CommandId
) -> Command:
    return device_commands.command(context.pool, device=name, command_id=command_id)


@router.post("/{command_id}/cancel")
def cancel_command(
    _person: CallerManufacturer, context: Ctx, name: DeviceName, command_id: CommandId
) -> Command:
    """Take a command back that has not been sent yet."""
    return device_commands.cancel_command(
        context.pool, device=name, command_id=command_id, now=context.clock()
    )
