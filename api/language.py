"""The reader's language: chosen by `Accept-Language`, known while an answer is made.

Sentences about devices are said in it (`anomaly/wording`); all other words of the pages are English.
"""

from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders

from anomaly.wording.service import LANGUAGES
from api.shield import App, Message, Receive, Scope, Send

_chosen: ContextVar[str] = ContextVar("language", default=LANGUAGES[0])
_RANGES_MAX = 20


def language() -> str:
    """Return the language of whoever is being answered."""
    return _chosen.get()


def wanted(header: str) -> str:
    """Choose among our languages by an `Accept-Language` header: "de-AT,de;q=0.9,en;q=0.8"; English if it names none.

    References
    ----------
    RFC 9110, 12.5.4; RFC 4647, 3.4.
    """
    best, weight = LANGUAGES[0], 0.0
    for part in header.split(",")[:_RANGES_MAX]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        primary = name.partition("-")[0]
        found = LANGUAGES[0] if primary == "*" else primary
        own = _weight(parameters)
        if found in LANGUAGES and own > weight:
            best, weight = found, own
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


class Language:
    """Wraps the application; plain ASGI, so that pages and REST see the same language."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = _chosen.set(wanted(Headers(scope=scope).get("accept-language", "")))

        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Accept-Language")
            await send(message)

        try:
            await self.app(scope, receive, send_varying)
        finally:
            _chosen.reset(token)
