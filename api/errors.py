"""How errors become answers: the one place that knows HTTP status codes for our errors."""

import secrets
from dataclasses import dataclass
from urllib.parse import quote

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from api.auth import NotAllowedError, NotSignedInError
from api.pages.render import render
from api.passwords import ThrottledError
from core.errors import ConflictError, ForecareError, InvalidError, NotFoundError, RetryableError
from core.log import get_logger

log = get_logger("api")

_DETAILS_MAX = 20

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotSignedInError, 401),
    (NotAllowedError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (InvalidError, 422),
    (RequestValidationError, 422),
    (psycopg.DataError, 422),
    (ThrottledError, 429),
    (RetryableError, 503),
    (PoolTimeout, 503),
    (psycopg.OperationalError, 503),
    (ForecareError, 422),
)
_NAMES = {
    400: ("bad_request", "This request is not understood"),
    401: ("not_signed_in", "Please sign in"),
    403: ("not_allowed", "You may not do this"),
    404: ("not_found", "There is no such page"),
    405: ("not_here", "This cannot be done here"),
    409: ("conflict", "Somebody was faster"),
    413: ("too_large", "That is too much at once"),
    415: ("unsupported_content", "This kind of content is not taken here"),
    422: ("invalid", "Something in it is not right"),
    429: ("too_many_attempts", "Too many attempts"),
    503: ("away", "Not possible just now"),
}
_BROKEN = ("broken", "Something broke on our side")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error as the caller gets it; `reference` finds it in the logs."""

    error: str
    message: str
    hint: str
    reference: str
    details: tuple[str, ...] = ()


def add_error_handlers(app: FastAPI) -> None:
    for kind in (
        ForecareError,
        RequestValidationError,
        HTTPException,
        psycopg.Error,
        PoolTimeout,
        Exception,
    ):
        app.add_exception_handler(kind, _answer)


def _answer(request: Request, error: Exception) -> Response:
    status = _status(error)
    problem = _problem(error, status)
    if isinstance(error, PoolTimeout | psycopg.OperationalError):
        request.app.state.context.database.is_away()
    elif status >= 500:
        log.error(
            "request.failed", status=status, reference=problem.reference, kind=type(error).__name__
        )
    path = request.url.path
    if path.startswith("/api/") or path in ("/healthz", "/readyz"):
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        if status in (429, 503):
            headers["Retry-After"] = "60" if status == 429 else "5"
        return JSONResponse(
            {
                "error": problem.error,
                "message": problem.message,
                "hint": problem.hint,
                "details": problem.details,
                "reference": problem.reference,
            },
            status,
            headers=headers,
        )
    if status == 401:
        target = f"?next={quote(path)}" if request.method == "GET" and path != "/" else ""
        return RedirectResponse(f"/sign-in{target}", 303)
    title = _NAMES.get(status, _BROKEN)[1]
    return render(request, "error.html", status=status, title=title, problem=problem)


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 500


def _problem(error: Exception, status: int) -> Problem:
    reference = secrets.token_hex(4)
    name = _NAMES.get(status, _BROKEN)[0]
    if isinstance(error, ForecareError):
        return Problem(error=name, message=str(error), hint=error.hint, reference=reference)
    if isinstance(error, RequestValidationError):
        details = tuple(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}"
            for e in error.errors()[:_DETAILS_MAX]
        )
        return Problem(
            error=name,
            message="the input breaks a rule",
            hint="mend what the details name",
            reference=reference,
            details=details,
        )
    if isinstance(error, psycopg.DataError):
        return Problem(
            error=name,
            message="a value cannot be stored",
            hint="leave out control characters and numbers beyond 64 bits",
            reference=reference,
        )
    if status == 503:
        return Problem(
            error=name,
            message="the database does not answer just now",
            hint="nothing was lost; try again in a moment",
            reference=reference,
        )
    if isinstance(error, HTTPException):
        return Problem(error=name, message=str(error.detail), hint="", reference=reference)
    return Problem(
        error=name,
        message="an error of ours; what you sent may not have been done",
        hint=f"tell us the reference {reference}",
        reference=reference,
    )
