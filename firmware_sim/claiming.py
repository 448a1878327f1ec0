"""Owners who find a code on their device and take it: by the page behind the code, or signed in.

What is printed stands in a file as `forecare device label` writes it: name, code, address, a line each.
The file may come later, and grow. A claim is good once, so a crash between a claim and its note asks
again, is told that the code was used, and finds the device to be its own.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from firmware_sim import log
from firmware_sim.errors import RefusedError
from firmware_sim.fleet import Unit
from firmware_sim.people import Household
from firmware_sim.rest import Api
from firmware_sim.state import State

_WAIT_S = 61.0
"""After too many attempts: the platform lets ten a minute through."""
_CONFLICT, _TOO_MANY = 409, 429
_WORDS_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What stands on a device."""

    device: str
    code: str


def read_labels(text: str) -> list[Printed]:
    """Read labels, a line each; an unfinished or empty line is left for later. Pure."""
    found = []
    for line in text.splitlines(keepends=True):
        words = line.split()
        if line.endswith("\n") and len(words) >= _WORDS_MIN:
            found.append(Printed(device=words[0], code=words[1]))
    return found


class Claimants:
    """The owners of a fleet. `save` writes the state; it is called before and after each claim.

    Parameters
    ----------
    labels : Path
        What is printed on the devices; labels of other devices in it are passed over.
    monotonic_s : callable
        Wall time for waiting.
    """

    def __init__(  # noqa: PLR0913 - keyword-only parts of one group of people
        self,
        *,
        labels: Path,
        units: Mapping[str, Unit],
        state: State,
        api_url: str,
        save: Callable[[], None],
        monotonic_s: Callable[[], float],
    ) -> None:
        self.problems: dict[Printed, str] = {}
        """Codes with which nobody gets a device, and why."""
        self._labels = labels
        self._units = units
        self._state = state
        self._api_url = api_url
        self._save = save
        self._monotonic_s = monotonic_s
        self._not_before_s = float("-inf")

    def waiting(self) -> list[Printed]:
        """The labels whose devices nobody has tried to take."""
        try:
            printed = read_labels(self._labels.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return []
        return [
            label
            for label in printed
            if label.device in self._units
            and label not in self.problems
            and self._state.claimed.get(label.device) != label.code
        ]

    def act(self) -> None:
        """Claim what can be claimed now.

        Raises
        ------
        UnreachableError
            If the platform does not answer; the next time goes on from there.
        """
        if self._monotonic_s() < self._not_before_s:
            return
        for label in self.waiting():
            home = self._units[label.device].household
            try:
                self._claim(label, home)
            except RefusedError as error:
                if error.status == _TOO_MANY:
                    self._not_before_s = self._monotonic_s() + _WAIT_S
                    return
                self.problems[label] = f"{home.owner} cannot claim {label.device}: {error.said}"
                log.warning("owner.claim_refused", device=label.device, reason=error.said)
            else:
                self._state.claimed[label.device] = label.code
                self._save()
                log.info("owner.claimed", device=label.device)

    def _claim(self, label: Printed, home: Household) -> None:
        login = self._login(home.email)
        if home.email in self._state.accounts:
            self._claim_signed_in(label, home, login)
            return
        try:
            self._register(label, home, login)
        except RefusedError as error:
            if error.status != _CONFLICT:
                raise
                # Perhaps they registered just before a crash; else what they were told stands.
            try:
                self._claim_signed_in(label, home, login)
            except RefusedError as other:
                raise other if other.status == _TOO_MANY else error from None
        self._state.accounts.append(home.email)

    def _login(self, email: str) -> Mapping[str, str]:
        """Return what this owner signs in with; a new password is on disk before anybody hears of it."""
        for login in self._state.owners:
            if login["email"] == email:
                return login
        login = {"email": email, "password": secrets.token_urlsafe(12)}
        self._state.owners.append(login)
        self._save()
        return login

    def _claim_signed_in(self, label: Printed, home: Household, login: Mapping[str, str]) -> None:
        api = Api(self._api_url, timeout_s=4, **login)
        try:
            site = {
                "name": home.site,
                "address": home.address,
                "city": home.city.name,
                "timezone": home.city.timezone,
                "latitude": home.latitude,
                "longitude": home.longitude,
                "access_note": home.access_note,
            }
            api.post("/api/v1/claims", {"code": label.code, "site": site})
        except RefusedError as error:
            if error.status != _CONFLICT or not _sees(api, label.device):
                raise
        finally:
            api.close()

    def _register(self, label: Printed, home: Household, login: Mapping[str, str]) -> None:
        """Fill in the form on the page behind the code, as somebody new does."""
        form = {
            "code": label.code,
            "name": home.owner,
            **login,
            "phone": home.phone,
            "site": home.site,
            "street": home.address,
            "city": home.city.name,
            "timezone": home.city.timezone,
        }
        api = Api(self._api_url, timeout_s=4)
        try:
            api.call(
                "POST",
                "/claim/register",
                body=urlencode(form).encode(),
                content_type="application/x-www-form-urlencoded",
            )
        finally:
            api.close()


def _sees(api: Api, device: str) -> bool:
    try:
        api.get(f"/api/v1/devices/{device}")
    except RefusedError:
        return False
    return True
