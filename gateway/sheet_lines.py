"""Finds the line on which each key of a TOML text stands, which the standard parser does not tell. Pure.

Only for messages about a text that the parser has accepted: what it does not understand (keys in
quotes, dotted keys) falls back to the line of the table around it.
"""

import re
from dataclasses import dataclass

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\- ]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*)$")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')


@dataclass(frozen=True, slots=True)
class Lines:
    found: dict[Path, int]

    def of(self, path: Path) -> int:
        """Return the line of a key or table, else of the nearest table around it."""
        while path and path not in self.found:
            path = path[:-1]
        return self.found.get(path, 1)


def find_lines(text: str) -> Lines:
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    fence, depth = "", 0  # inside a multi-line string, inside a multi-line list
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if depth == 0 and (header := _HEADER.match(line)):
            table = _table_path(header[2].split("."), counts, is_list=header[1] == "[[")
            found.setdefault(table, number)
            continue
        rest = line
        if depth == 0 and (key := _KEY.match(line)):
            found.setdefault((*table, key[1]), number)
            rest = key[2]
        fence = _open_fence(rest)
        if not fence:
            bare = _QUOTED.sub("", rest).split("#", 1)[0]
            depth += bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")
    return Lines(found)


def _table_path(names: list[str], counts: dict[Path, int], *, is_list: bool) -> Path:
    path: Path = ()
    for i, name in enumerate(names):
        path = (*path, name.strip())
        is_last = i == len(names) - 1
        if is_last and is_list:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _open_fence(rest: str) -> str:
    for fence in ('"""', "'''"):
        if rest.count(fence) % 2:
            return fence
    return ""
