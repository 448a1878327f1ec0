"""What stands between the net and the endpoints: size limits, foreign forms, and safe headers."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES_MAX = 4 * 1024 * 1024

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Shield:
    """Wraps the application; plain ASGI, so that no answer gets past it.

    Parameters
    ----------
    app : ASGI application
    origin : str
        Scheme, host and port under which people reach the pages.
    """

    def __init__(self, app: App, *, origin: str) -> None:
        self.app = app
        self.origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out.setdefault(name, value)
                if self.origin.startswith("https://"):
                    out["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        if scope["method"] not in _SAFE_METHODS and self._is_foreign(headers):
            await _refuse(send_safely, 403, "a form of another site may not be sent here")
            return
        if int(headers.get("content-length") or 0) > BODY_BYTES_MAX:
            await _refuse(send_safely, 413, f"at most {BODY_BYTES_MAX} bytes are taken")
            return
        await self.app(scope, _bounded(receive), send_safely)

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser says that another site started this request.

        Programs send neither header and carry a Bearer token, which no other site can make a
        browser send.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            # Says it reliably; with `no-referrer` the form of our own page has the origin "null".
            return site not in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None or origin == self.origin:
            return False
        return urlsplit(origin).netloc != headers.get("host")


def _bounded(receive: Receive) -> Receive:
    """Cut a body off that is longer than it said."""
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES_MAX:
            return {"type": "http.disconnect"}
        return message

    return receive_some


async def _refuse(send: Send, status: int, why: str) -> None:
    body = f'{{"error": "refused", "message": "{why}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
