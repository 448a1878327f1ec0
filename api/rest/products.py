"""Products: a manufacturer brings a sheet, everybody else reads it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Response

from api import records, store
from api.auth import CallerAny, CallerManufacturer, Ctx
from api.rest.model import Page, ProductName
from core.errors import InvalidError
from gateway import service as gateway

_SHEET_BYTES_MAX = 256 * 1024

router = APIRouter(prefix="/api/v1", tags=["products"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    name: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDetail:
    name: str
    title: str
    manufacturer: str
    metrics: list[str]
    failure_modes: list[str]
    sheet_toml: str


@router.post("/products", status_code=201)
def register(
    _person: CallerManufacturer,
    context: Ctx,
    response: Response,
    sheet: Annotated[bytes, Body(media_type="application/toml")],
) -> Registered:
    """Register a product by its sheet: 201 when it is new, 200 when it replaces an earlier revision."""
    if len(sheet) > _SHEET_BYTES_MAX:
        raise InvalidError(f"the sheet has {len(sheet)} bytes", hint=f"at most {_SHEET_BYTES_MAX}")
    try:
        text = sheet.decode()
    except UnicodeDecodeError as error:
        raise InvalidError("the sheet is no UTF-8 text", hint="save it as UTF-8") from error
    source = "the sheet"
    known = gateway.register_product(
        context.pool, toml_text=text, source=source, now=context.clock()
    )
    response.status_code = 201 if known.is_new else 200
    return Registered(name=known.name, revision=known.revision)


@router.get("/products")
def list_products(_person: CallerAny, context: Ctx) -> Page[records.ProductRow]:
    with context.pool.connection() as connection:
        return Page(items=store.products(connection))


@router.get("/products/{product}")
def one_product(_person: CallerAny, context: Ctx, product: ProductName) -> ProductDetail:
    with context.pool.connection() as connection:
        sheet, text = store.product_sheet(connection, product)
    return ProductDetail(
        name=sheet.name,
        title=sheet.title,
        manufacturer=sheet.manufacturer,
        metrics=[m.name for m in sheet.metrics],
        failure_modes=[m.name for m in sheet.failure_modes],
        sheet_toml=text,
    )


@router.get("/progress/{product}")
def progress(_person: CallerManufacturer, context: Ctx, product: ProductName) -> records.Progress:
    """Say how far the product's stream has come in each stage, in event time; null before any data."""
    with context.pool.connection() as connection:
        return store.progress(connection, product)
