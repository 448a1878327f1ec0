"""Puts the application together: endpoints, policies, errors, and what shields them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from api import assets, pages, rest
from api.auth import Context, assert_policies
from api.errors import add_error_handlers
from api.language import Language
from api.passwords import Passwords, Throttle
from api.shield import Shield
from api.watch import DatabaseWatch
from core.clock import Clock, wall_now
from core.endpoints import database_url
from core.pool import make_pool
from core.settings import Settings

_CONNECTIONS_MAX = 8


def make_app(settings: Settings, *, clock: Clock = wall_now) -> FastAPI:
    """Build the application; the connection pool lives as long as it runs.

    Raises
    ------
    ForecareError
        If a route does not name the one policy that says who may call it.
    """
    pool = make_pool(database_url(settings), name="api", size_max=_CONNECTIONS_MAX)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPI(
        title="Forecare",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.context = Context(
        settings=settings,
        pool=pool,
        clock=clock,
        passwords=Passwords(),
        throttle=Throttle(),
        database=DatabaseWatch(),
    )
    for router in all_routers():
        app.include_router(router)
    assert_policies(all_routes())
    add_error_handlers(app)
    app.add_middleware(GZipMiddleware, minimum_size=600, compresslevel=5)
    app.add_middleware(Language)
    app.add_middleware(Shield, origin=settings.base_url)
    return app


def all_routers() -> tuple[APIRouter, ...]:
    return (*rest.ROUTERS, *pages.ROUTERS, assets.router)


def all_routes() -> tuple[APIRoute, ...]:
    return tuple(
        route for router in all_routers() for route in router.routes if isinstance(route, APIRoute)
    )
