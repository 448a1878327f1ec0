"""Turns a template and its values into a page."""

from datetime import datetime
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api import charts, story, words, written
from api.accounts import Person

Window = tuple[datetime, datetime]


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    person: Person | None = None,
    **values: Any,
) -> HTMLResponse:
    """Render a page; nothing of it is kept by caches between us and the person."""
    settings = request.app.state.context.settings
    page = _environment().get_template(template)
    text = page.render(
        status=status,
        person=person,
        path=request.url.path,
        has_inbox=bool(settings.inbox_dir),
        **values,
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


@cache
def _environment() -> Environment:
    from api.assets import asset  # noqa: PLC0415 - assets need auth, auth needs nothing of the pages

    environment = Environment(
        loader=PackageLoader("api"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def icon(name: str, size: int = 20) -> Markup:
        address = asset("vendor/icons.svg")
        return Markup(
            '<svg class="i" width="{0}" height="{0}" aria-hidden="true"><use href="{1}#{2}"/></svg>'
        ).format(size, address, name)

    environment.globals.update(asset=asset, icon=icon, charts=charts, story=story, words=words)
    environment.filters.update(
        day=written.day,
        moment=written.moment,
        clock=written.clock,
        number=written.number,
        percent=written.percent,
        money=written.money,
        span=_span,
        span_long=_span_long,
        duration=written.duration,
        ago=written.ago,
        json_block=written.json_block,
        json_text=written.json_text,
        pairs=written.pairs,
        sentence=written.sentence,
        said=written.said,
        code_spans=written.code_spans,
    )
    return environment


def _span(window: Window, timezone: str, now: datetime | None = None) -> str:
    return written.span(*window, timezone, now)


def _span_long(window: Window, timezone: str) -> str:
    return written.span_long(*window, timezone)
