"""What owners and technicians do through the platform's API while simulated time goes by.

Nothing here may stop the devices: when the platform does not answer, people try again later.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from firmware_sim import log
from firmware_sim.claiming import Claimants
from firmware_sim.errors import RefusedError, UnreachableError
from firmware_sim.fleet import Fleet
from firmware_sim.owners import choose_slot, read_new_mail
from firmware_sim.rest import Api
from firmware_sim.state import Link, State, Visit
from firmware_sim.technicians import device_name, plan_visit, repaired_by, report_of, seconds_of
from firmware_sim.truth import rfc3339

_TRIES_MAX = 3
_LOOK_AGAIN_S = 3 * 3600
_CONFLICT, _UNPROCESSABLE = 409, 422
_OVER = {"resolved", "cancelled", "in_service"}


class People:
    """All owners and technicians of a fleet. `save` writes the state; it is called before each report."""

    def __init__(  # noqa: PLR0913 - keyword-only parts of one fleet's people
        self,
        *,
        fleet: Fleet,
        state: State,
        inbox: Path | None,
        api_url: str,
        save: Callable[[], None],
        claimants: Claimants | None = None,
    ) -> None:
        self._fleet = fleet
        self._state = state
        self._inbox = inbox
        self._public = Api(api_url, timeout_s=4)
        self._technicians = {
            login["email"]: Api(api_url, timeout_s=4, **login) for login in state.technicians
        }
        self._save = save
        self._claimants = claimants
        self._places = {unit.name: i for i, unit in enumerate(fleet.units)}
        self._households = {unit.household.email.lower(): unit.household for unit in fleet.units}
        self._was_unreachable = False

    def act(self, *, now_s: int, until_s: int) -> None:
        """Answer mails as of `now_s` and do the visits that end by `until_s`, both simulated time."""
        try:
            self._report_left_over()
            if self._claimants is not None:
                self._claimants.act()
            self._open_mail()
            for link in self._state.links:
                self._follow(link, now_s)
            for email, api in self._technicians.items():
                self._work(email, api, now_s=now_s, until_s=until_s)
        except UnreachableError as error:
            if not self._was_unreachable:
                log.warning("people.platform_silent", detail=error.message)
            self._was_unreachable = True
            return
        if self._was_unreachable:
            log.info("people.platform_back")
        self._was_unreachable = False

    def tickets(self) -> int:
        """How many different tickets owners have heard of."""
        return len({link.ticket_id for link in self._state.links if link.ticket_id})

    def are_claiming(self) -> bool:
        """Whether there are labels that nobody has tried yet, and a platform to try them on."""
        if self._claimants is None or self._was_unreachable:
            return False
        return bool(self._claimants.waiting())

    def problems(self) -> Sequence[str]:
        """What the platform did not let them do, for whoever has to mend it."""
        return [*self._claimants.problems.values()] if self._claimants is not None else []

    def close(self) -> None:
        for api in (self._public, *self._technicians.values()):
            api.close()

    def _open_mail(self) -> None:
        if self._inbox is None:
            return
        mails = read_new_mail(self._inbox, read=self._state.mails)
        known = {link.token for link in self._state.links}
        for name, address, tokens in mails:
            self._state.mails.append(name)
            if address not in self._households:
                continue
            for token in tokens:
                if token not in known:
                    self._state.links.append(Link(token=token, email=address))
                    known.add(token)
        if mails:
            self._save()

    def _follow(self, link: Link, now_s: int) -> None:
        if link.state in {"booked", "over"} or link.tries_after_s > now_s:
            return
        household = self._households[link.email]
        if now_s < household.answers_from_s:
            return
        is_deaf = household.ignores_mail
        if link.state == "ignored" and not self._has_failed(link.device, now_s):
            return
        try:
            offer = self._public.get(f"/api/v1/links/{link.token}")
        except RefusedError as error:
            log.info("owner.link_refused", status=error.status)
            link.state = "over"
            return
        ticket = offer["ticket"]
        link.ticket_id, link.device = int(ticket["id"]), device_name(ticket)
        if offer.get("appointment") or ticket["state"] in _OVER:
            link.state = "over"
        elif is_deaf and not self._has_failed(link.device, now_s):
            link.state = "ignored"
        else:
            self._book(link, offer, now_s)
        self._save()

    def _book(self, link: Link, offer: dict[str, Any], now_s: int) -> None:
        due_at = offer["ticket"].get("due_at")
        for turn in range(_TRIES_MAX):
            slot = choose_slot(
                offer["slots"],
                now_s=now_s + 3600,
                due_s=seconds_of(due_at) if due_at else None,
                turn=turn + link.ticket_id % 2,
                technicians=self._state.technician_ids,
            )
            if slot is None:
                break
            body = {"starts_at": slot["starts_at"], "technician_id": slot["technician_id"]}
            try:
                self._public.post(f"/api/v1/links/{link.token}/appointment", body)
            except RefusedError as error:
                if error.status != _CONFLICT:
                    log.warning("owner.booking_refused", detail=error.message)
                offer = self._public.get(f"/api/v1/links/{link.token}")
                continue
            link.state = "booked"
            return
        link.tries_after_s = now_s + _LOOK_AGAIN_S

    def _has_failed(self, device: str, now_s: int) -> bool:
        place = self._places.get(device)
        if place is None:
            return False
        return any(
            failure.fails_s <= now_s and failure.repaired_s is None
            for failure in self._fleet.machines[place].failures
        )

    def _work(self, email: str, api: Api, *, now_s: int, until_s: int) -> None:
        orders: Sequence[dict[str, Any]] = api.get("/api/v1/work-orders?state=scheduled")["items"]
        known = {visit.order_id for visit in self._state.visits}
        for order in sorted(orders, key=lambda order: str(order.get("starts_at"))):
            if int(order["id"]) in known or not order.get("ends_at"):
                continue
            if seconds_of(order["ends_at"]) > until_s:
                continue
            visit = plan_visit(order, fleet=self._fleet, technician=email)
            if visit is None:
                continue
            # Booked for a time that has gone by for the devices: the technician comes now.
            visit.starts_s = max(visit.starts_s, now_s)
            visit.found_s = max(visit.found_s, now_s + 60)
            self._begin(visit)
            self._report(api, visit)

    def _begin(self, visit: Visit) -> None:
        failure = repaired_by(visit, self._fleet)
        if failure is not None:
            failure.repaired_s = visit.found_s
            place = self._fleet.plan.failures.index(failure)
            self._state.repairs.append({"failure": place, "repaired_s": visit.found_s})
        self._state.visits.append(visit)
        self._save()

    def _report_left_over(self) -> None:
        for visit in self._state.visits:
            if not visit.is_reported:
                self._report(self._technicians[visit.technician], visit)

    def _report(self, api: Api, visit: Visit) -> None:
        path = f"/api/v1/work-orders/{visit.order_id}"
        try:
            api.post(f"{path}/start", {"at": rfc3339(visit.starts_s)})
        except RefusedError as error:  # started before a crash: the finding is what counts
            if error.status != _CONFLICT:
                log.warning("technician.start_refused", detail=error.message)
        try:
            api.post(f"{path}/finding", report_of(visit, str(rfc3339(visit.found_s))))
        except RefusedError as error:
            if error.status != _CONFLICT:
                log.warning("technician.finding_refused", detail=error.message)
        visit.is_reported = True
        self._save()
