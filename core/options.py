"""Kinds of values that several commands take."""

from datetime import UTC, datetime
from typing import Any

import click


class Instant(click.ParamType[datetime]):
    """A day or a time; without a zone it is UTC."""

    name = "DAY|TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no day or time: write 2026-01-31 or 2026-01-31T08:00:00Z", param, ctx
            )
        return at if at.tzinfo else at.replace(tzinfo=UTC)
