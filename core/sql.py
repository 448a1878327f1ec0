"""Loads named queries from `.sql` files: `-- name: open_ticket`, then a comment with its reason."""

import re
from functools import cache
from importlib import resources
from typing import LiteralString

_HEADING = re.compile(r"^-- name: ([a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The named queries of one package, as attributes.

    >>> queries = Queries("maintenance")      # reads every maintenance/sql/*.sql
    >>> connection.execute(queries["open_ticket"], {...})
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def __getitem__(self, name: str) -> LiteralString:
        queries = _load(self.package)
        if name not in queries:
            message = f"{self.package}/sql has no query named {name!r}; it has: {', '.join(sorted(queries))}"
            raise KeyError(message)
        # The text comes from files of this project, never from a user: psycopg takes it as literal.
        return queries[name]


@cache
def _load(package: str) -> dict[str, LiteralString]:
    queries: dict[str, LiteralString] = {}
    for file in sorted(resources.files(package).joinpath("sql").iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".sql"):
            continue
        parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in queries:
                message = f"{package}/sql/{file.name}: query {name!r} is defined twice"
                raise ValueError(message)
            queries[name] = text.strip()
    return queries
