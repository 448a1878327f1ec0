"""Configuration of devices and products: wanted, reported, and who changed what."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.auth import CallerManufacturer, Ctx
from api.rest.model import Cursor, DeviceName, Input, Limit, Page, ProductName, page_of
from gateway.twin import service as twin
from gateway.twin.records import Change, Configuration, ProductConfiguration

router = APIRouter(prefix="/api/v1", tags=["configuration"])


class Patch(Input):
    """A change, merged key by key; null gives a key back to the layer below."""

    desired: dict[str, Any]
    expected_version: Annotated[int | None, Field(ge=0, le=2**62)] = None
    """Change it only on top of this version: somebody else may have been first."""


@router.get("/devices/{name}/config")
def device_configuration(
    _person: CallerManufacturer, context: Ctx, name: DeviceName
) -> Configuration:
    """Return what a device is to have, what it reports, and where the two differ."""
    return twin.configuration(context.pool, name=name)


@router.patch("/devices/{name}/config")
def change_device_configuration(
    person: CallerManufacturer, context: Ctx, name: DeviceName, body: Patch
) -> Configuration:
    """Change what one device is to have; it is told at once, or after its next connect."""
    return twin.change_configuration(
        context.pool,
        name=name,
        patch=body.desired,
        actor=person.actor,
        now=context.clock(),
        expected_version=body.expected_version,
    )


@router.get("/devices/{name}/config/changes")
def configuration_changes(
    _person: CallerManufacturer,
    context: Ctx,
    name: DeviceName,
    before: Cursor = None,
    limit: Limit = 100,
) -> Page[Change]:
    """List who changed what of a device or its product, newest first; `before` continues below an id."""
    items = twin.changes(context.pool, name=name, before=before, limit=limit)
    return page_of(items, limit=limit, cursor="id")


@router.get("/products/{product}/config")
def product_configuration(
    _person: CallerManufacturer, context: Ctx, product: ProductName
) -> ProductConfiguration:
    """Return what all devices of a product are to have."""
    return twin.product_configuration(context.pool, product=product)


@router.patch("/products/{product}/config")
def change_product_configuration(
    person: CallerManufacturer, context: Ctx, product: ProductName, body: Patch
) -> ProductConfiguration:
    """Change what all devices of a product are to have; what is set for one device stays above it."""
    return twin.change_product_configuration(
        context.pool,
        product=product,
        patch=body.desired,
        actor=person.actor,
        now=context.clock(),
        expected_version=body.expected_version,
    )
