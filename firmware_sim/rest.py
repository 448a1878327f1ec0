"""The platform's public REST interface, as any stranger would speak to it."""

import http.client
import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from firmware_sim.errors import RefusedError, SimulatorError, UnreachableError

TIMEOUT_S = 30.0
_SHOWN_MAX = 300
_ALERT = re.compile(r'role="alert">(.*?)</p>', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_UNAUTHORIZED = 401
_ERROR_FROM, _SERVER_ERROR_FROM = 400, 500


class Api:
    """One connection; signs in when it has to. Not for use from several threads."""

    def __init__(
        self, base_url: str, *, email: str = "", password: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SimulatorError(
                f"no address of the platform: {base_url!r}", hint="write http://host:port"
            )
        self._root = parts.path.rstrip("/")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._http = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._email, self._password = email, password
        self._token = ""

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, content: object) -> Any:
        return self.call("POST", path, body=json.dumps(content).encode())

    def call(
        self, method: str, path: str, *, body: bytes = b"", content_type: str = "application/json"
    ) -> Any:
        """Send one request and return its decoded answer (None when it is empty).

        Raises
        ------
        UnreachableError
            If nobody answers, or the platform says that it cannot now.
        RefusedError
            If the platform says no.
        """
        if self._email and not self._token:
            self._sign_in()
        status, answer = self._send(method, path, body, content_type)
        if status == _UNAUTHORIZED and self._email:
            self._sign_in()
            status, answer = self._send(method, path, body, content_type)
        if status >= _SERVER_ERROR_FROM:
            raise UnreachableError(f"{method} {path}: {status} {_shown(answer)}")
        if status >= _ERROR_FROM:
            said = _shown(answer)
            raise RefusedError(f"{method} {path}: {status} {said}", status=status, said=said)
        return json.loads(answer) if answer.strip() else None

    def close(self) -> None:
        self._http.close()

    def _sign_in(self) -> None:
        self._token = ""
        body = json.dumps({"email": self._email, "password": self._password}).encode()
        status, answer = self._send("POST", "/api/v1/session", body, "application/json")
        if status >= _SERVER_ERROR_FROM:
            raise UnreachableError(f"signing in as {self._email}: {status} {_shown(answer)}")
        if status >= _ERROR_FROM:
            raise RefusedError(
                f"signing in as {self._email}: {status} {_shown(answer)}",
                status=status,
                said=_shown(answer),
                hint="check the e-mail address and the password",
            )
        self._token = str(json.loads(answer)["token"])

    def _send(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"}
        if body:
            headers["Content-Type"] = content_type
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        is_fresh = self._http.sock is None
        try:
            return self._once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            if is_fresh:
                raise UnreachableError(f"{method} {path}: {error}") from error
        try:  # the server had closed a connection that had been idle
            return self._once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise UnreachableError(f"{method} {path}: {error}") from error

    def _once(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        self._http.request(method, self._root + path, body=body or None, headers=headers)
        response = self._http.getresponse()
        return response.status, response.read()


def _shown(answer: bytes) -> str:
    """Return what an answer says to people: message and hint, or the alert of a page."""
    text = answer.decode(errors="replace")
    try:
        problem = json.loads(text)
        words = f"{problem['message']}: {problem['hint']}".removesuffix(": ")
    except (ValueError, KeyError, TypeError):
        alert = _ALERT.search(text)
        words = " ".join(unescape(_TAG.sub("", alert[1])).split()) if alert else text
    return words[:_SHOWN_MAX]
