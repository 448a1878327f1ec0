"""The files a browser loads, held in memory under one address that changes when any of them does."""

import gzip
import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import PUBLIC, not_found

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
}
_GZIP_FROM_BYTES = 600

router = APIRouter(include_in_schema=False)


def asset(name: str) -> str:
    """Return the address of an asset; KeyError when there is no such file."""
    files()[name]
    return f"/static/{digest()}/{name}"


@router.get("/static/{version}/{name:path}", dependencies=[PUBLIC])
def static(version: str, name: str, request: Request) -> Response:
    content = files().get(name)
    if content is None:
        raise not_found("file")
    # An old page may still ask under an old address: it gets today's file, but may not keep it.
    keep = "public, max-age=31536000, immutable" if version == digest() else "no-cache"
    headers = {"Cache-Control": keep, "Vary": "Accept-Encoding"}
    kind = _TYPES[name.rpartition(".")[2]]
    if "gzip" in request.headers.get("accept-encoding", "") and _packed(name) is not None:
        return Response(
            _packed(name), media_type=kind, headers=headers | {"Content-Encoding": "gzip"}
        )
    return Response(content, media_type=kind, headers=headers)


@cache
def files() -> dict[str, bytes]:
    return dict(_walk(resources.files("api").joinpath("static"), ""))


@cache
def digest() -> str:
    total = hashlib.sha256()
    for name, content in sorted(files().items()):
        total.update(name.encode() + b"\0" + content)
    return total.hexdigest()[:16]


@cache
def _packed(name: str) -> bytes | None:
    content = files()[name]
    if name.endswith("woff2") or len(content) < _GZIP_FROM_BYTES:
        return None
    return gzip.compress(content, 9, mtime=0)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _TYPES:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found
