"""Which Sparkplug edge node sends the samples of which device."""

from fastapi import APIRouter

from api.auth import CallerManufacturer, Ctx
from api.rest.model import DeviceName
from gateway.sparkplug import service as sparkplug

router = APIRouter(prefix="/api/v1/devices/{name}/speaks-for", tags=["devices"])


@router.put("/{device}", status_code=204)
def let_speak(
    _person: CallerManufacturer, context: Ctx, name: DeviceName, device: DeviceName
) -> None:
    """Let an edge node send the samples of a device that stands behind it; the one before no longer may."""
    sparkplug.let_speak(context.pool, node=name, device=device, now=context.clock())


@router.delete("/{device}", status_code=204)
def let_speak_no_longer(
    _person: CallerManufacturer, context: Ctx, name: DeviceName, device: DeviceName
) -> None:
    """Take the permission back; it ends with the next message."""
    sparkplug.let_speak_no_longer(context.pool, node=name, device=device)
