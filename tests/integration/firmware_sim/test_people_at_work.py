"""Owners and technicians act through the API; what they repair stays repaired."""

from dataclasses import dataclass, field

import pytest

from firmware_sim.fleet import make_fleet
from firmware_sim.people_at_work import People
from firmware_sim.plan import DAY_S
from firmware_sim.provision import draw_people
from firmware_sim.state import State, load_state, save_state
from tests.integration.firmware_sim.platform import Platform

START_S = 1_789_992_000


@dataclass
class NoStorer:
    """Says how far the devices have come, nothing else."""

    at_s: int
    samples: dict = field(default_factory=dict)

    def through_ms(self):
        return self.at_s * 1000.0


class Scene:
    def __init__(self, platform, path):
        self.platform = platform
        self.path = path
        self.fleet = make_fleet(devices=40, days=60, seed=7, start_s=START_S)
        self.state = State(
            seed=7, devices=40, days=60, products=["heat_pump", "water_pump"], start_s=START_S
        )
        draw_people(self.fleet, self.state)
        self.people = People(
            fleet=self.fleet,
            state=self.state,
            inbox=platform.inbox,
            api_url=platform.url,
            save=lambda: save_state(path, self.state),
        )

    def failure(self, *, owner_ignores):
        return next(
            f
            for f in self.fleet.plan.failures
            if f.onset_s < f.fails_s
            and self.fleet.units[f.device].household.ignores_mail is owner_ignores
        )

    def open_ticket(self, failure, *, at_s):
        unit = self.fleet.units[failure.device]
        self.platform.owners[unit.name] = unit.household.email
        self.platform.tickets_wanted[unit.name] = failure.mode
        self.platform.storer.at_s = at_s
        self.platform.storer.samples[unit.name] = {at_s: {}}
        self.platform._open_tickets()

    def live(self, begin_s, end_s):
        for now_s in range(begin_s, end_s, 6 * 3600):
            self.platform.storer.at_s = now_s
            self.people.act(now_s=now_s, until_s=now_s + 6 * 3600)


@pytest.fixture
def scene(tmp_path):
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "inbox" / folder).mkdir(parents=True)
    platform = Platform(storer=NoStorer(at_s=START_S), inbox=tmp_path / "inbox", mqtt_url="")
    platform.start()
    scene = Scene(platform, tmp_path / "state.json")
    yield scene
    scene.people.close()
    platform.stop()


def test_a_visit_before_the_failure_prevents_it_and_is_remembered(scene):
    failure = scene.failure(owner_ignores=False)
    begin_s = (failure.fails_s - 5 * DAY_S) // 60 * 60
    scene.open_ticket(failure, at_s=begin_s)

    scene.live(begin_s, begin_s + 4 * DAY_S)

    (finding,) = scene.platform.findings
    assert finding["verdict"] == "incipient"
    assert failure.has_been_prevented
    assert load_state(scene.path).repairs == [
        {"failure": scene.fleet.plan.failures.index(failure), "repaired_s": failure.repaired_s}
    ]


def test_an_owner_who_ignores_the_mail_books_when_the_device_has_failed(scene):
    failure = scene.failure(owner_ignores=True)
    begin_s = (failure.fails_s - 5 * DAY_S) // 60 * 60
    scene.open_ticket(failure, at_s=begin_s)

    scene.live(begin_s, failure.fails_s - 6 * 3600)
    assert [order["state"] for order in scene.platform.orders.values()] == ["ready"]
    scene.live(begin_s + 5 * DAY_S, begin_s + 9 * DAY_S)

    assert [finding["verdict"] for finding in scene.platform.findings] == ["confirmed"]
    assert failure.repaired_s > failure.fails_s
    assert not failure.has_been_prevented


def test_a_visit_that_was_written_down_but_not_reported_is_reported_at_the_next_start(scene):
    failure = scene.failure(owner_ignores=False)
    begin_s = (failure.fails_s - 5 * DAY_S) // 60 * 60
    scene.open_ticket(failure, at_s=begin_s)
    scene.live(begin_s, begin_s + 4 * DAY_S)
    scene.platform.findings.clear()
    scene.state.visits[0].is_reported = False

    scene.people.act(now_s=begin_s + 4 * DAY_S, until_s=begin_s + 4 * DAY_S)

    assert len(scene.platform.findings) == 1
    assert len(scene.state.repairs) == 1


def test_people_try_again_when_the_platform_is_silent(scene):
    failure = scene.failure(owner_ignores=False)
    scene.open_ticket(failure, at_s=failure.fails_s - 5 * DAY_S)
    there = scene.people._public._http.port
    for api in (scene.people._public, *scene.people._technicians.values()):
        api._http.close()
        api._http.port = 9  # nobody listens there

    scene.people.act(now_s=failure.fails_s - 5 * DAY_S, until_s=failure.fails_s - 4 * DAY_S)
    assert [link.state for link in scene.state.links] == ["new"]
    for api in (scene.people._public, *scene.people._technicians.values()):
        api._http.port = there
    scene.people.act(now_s=failure.fails_s - 5 * DAY_S, until_s=failure.fails_s - 4 * DAY_S)

    assert [link.state for link in scene.state.links] == ["booked"]
