"""Simulated owners take devices with the codes that are printed on them; API and database as they ship."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.clock import wall_now
from core.pool import make_pool
from firmware_sim.claiming import Claimants
from firmware_sim.connection import Address
from firmware_sim.errors import RefusedError
from firmware_sim.first_contact import ProductKey, contact, new_nonce
from firmware_sim.fleet import make_fleet
from firmware_sim.rest import Api
from firmware_sim.state import State, load_state, save_state
from gateway.claims import service as claims
from gateway.claims.codes import shown_code
from gateway.first_contact import service as door
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.counter import Counter
from gateway.records import OwnerDraft
from tests.integration.api.conftest import seeded, site

__all__ = ["seeded", "site"]

WRONG = "0000-0000-0000-0000"
MINUTES = timedelta(minutes=2)


class Street:
    """Three houses with a device each, which have come to the platform by themselves."""

    def __init__(self, site, pool, folder, names):
        fleet = make_fleet(
            devices=len(names), days=1, seed=7, start_s=1_789_992_000, products=["heat_pump"]
        )
        self.site, self.pool = site, pool
        self.labels, self.path = folder / "labels.txt", folder / "state.json"
        self.units = {
            name: replace(unit, name=name) for name, unit in zip(names, fleet.units, strict=True)
        }
        self.state = State(
            seed=7, devices=len(names), days=1, products=["heat_pump"], start_s=fleet.start_s
        )
        self.monotonic_s = 0.0
        self.begin()

    def begin(self):
        """The owners wake up, knowing what was saved."""
        self.state = load_state(self.path) or self.state
        self.owners = Claimants(
            labels=self.labels,
            units=self.units,
            state=self.state,
            api_url=self.site.url,
            save=lambda: save_state(self.path, self.state),
            monotonic_s=lambda: self.monotonic_s,
        )

    def code_of(self, name):
        made = claims.label_code(
            self.pool, self.site.settings.key, name=name, now=self.site.clock()
        )
        return shown_code(made.code)

    def print_labels(self, codes):
        lines = [f"{name}  {code}  {self.site.url}/claim/{code}\n" for name, code in codes.items()]
        self.labels.write_text("".join(lines))

    def sees(self, name):
        """Whether the owner of a house sees the device of this name, signed in."""
        email = self.units[name].household.email
        (login,) = [login for login in self.state.owners if login["email"] == email]
        api = Api(self.site.url, **login)
        try:
            return api.get(f"/api/v1/devices/{name}")["device"]["name"] == name
        except RefusedError:
            return False
        finally:
            api.close()


@pytest.fixture
def pool(site):
    opened = make_pool(site.settings.database_url, name="test")
    yield opened
    opened.close()


@pytest.fixture
def street(site, pool, tmp_path):
    """Devices as they leave the factory: nobody owns them."""
    names = ("hp-free-0", "hp-free-1", "hp-free-2")
    for i, name in enumerate(names):
        site.change(
            "insert into gateway.device (name, product_id, serial, shard, created_at)"
            " select %s, id, %s, 1, now() from gateway.product limit 1",
            name,
            f"S-free-{i}",
        )
    return Street(site, pool, tmp_path, names)


def test_a_device_comes_by_itself_and_its_owner_scans_the_code_and_sees_it(site, pool, tmp_path):
    ((product,),) = site.rows("select name from gateway.product order by id limit 1")
    new = door.add_product_key(pool, product=product, allows="new", now=wall_now())
    key = ProductKey(product=product, key=new.key, secret=new.secret)
    counter = Counter(
        door.Reception(pool, site.settings, allowance=Allowance()), host="127.0.0.1", port=0
    )
    counter.start()
    unit = make_fleet(
        devices=1, days=1, seed=7, start_s=1_789_992_000, products=["heat_pump"]
    ).units[0]
    address = Address(host="127.0.0.1", port=counter.port, is_tls=False)
    came = contact(replace(unit, product=product), address=address, key=key, nonce=new_nonce())
    counter.close()
    street = Street(site, pool, tmp_path, [came.device])
    street.print_labels({came.device: street.code_of(came.device)})

    street.owners.act()

    assert street.owners.problems == {}
    assert street.sees(came.device)
    ((email, city),) = site.rows(
        "select o.email, s.city from gateway.device d join gateway.owner o on o.id = d.owner_id"
        " join gateway.site s on s.id = d.site_id where d.name = %s",
        came.device,
    )
    home = street.units[came.device].household
    assert (email, city) == (home.email, home.city.name)


def test_an_owner_who_has_an_account_claims_signed_in(street, site):
    street.print_labels({"hp-free-0": street.code_of("hp-free-0")})
    street.owners.act()
    claims.transfer(
        street.pool,
        name="hp-free-0",
        to=OwnerDraft(name="Ada", email="ada@example.org", timezone="UTC"),
        actor="test",
        now=site.clock(),
    )
    assert not street.sees("hp-free-0")
    handed = claims.hand_over(
        street.pool, site.settings.key, name="hp-free-0", owner_id=None, now=site.clock()
    )
    street.print_labels({"hp-free-0": shown_code(handed.code)})

    street.owners.act()

    assert street.sees("hp-free-0")
    assert street.state.accounts == [street.units["hp-free-0"].household.email]


def test_a_wrong_and_a_used_code_are_told_and_stop_nobody_else(street):
    used = street.code_of("hp-free-0")
    street.print_labels({"hp-free-0": used})
    street.owners.act()
    good = street.code_of("hp-free-2")
    street.print_labels({"hp-free-0": WRONG, "hp-free-1": used, "hp-free-2": good})

    street.owners.act()

    first, second = street.owners.problems.values()
    assert "cannot claim hp-free-0: no device has this code" in first
    assert "cannot claim hp-free-1: This code has been used" in second
    assert street.sees("hp-free-0")
    assert street.sees("hp-free-2")
    assert street.owners.waiting() == []


def test_labels_may_come_later_and_those_of_other_devices_are_passed_over(street):
    street.owners.act()
    street.labels.write_text(f"hp-elsewhere  {WRONG}\nhp-free-0  {street.code_of('hp-free-0')[:7]}")
    street.owners.act()
    assert (street.owners.waiting(), street.owners.problems) == ([], {})

    street.print_labels({"hp-free-0": street.code_of("hp-free-0")})
    street.owners.act()

    assert street.sees("hp-free-0")


def test_a_crash_between_the_claim_and_its_note_loses_neither(street):
    street.print_labels({"hp-free-0": street.code_of("hp-free-0")})
    street.owners.act()
    street.state.claimed.clear()
    street.state.accounts.clear()
    save_state(street.path, street.state)

    street.begin()
    street.owners.act()

    assert street.owners.problems == {}
    assert set(street.state.claimed) == {"hp-free-0"}


def test_owners_wait_when_there_were_too_many_attempts(street, site):
    for _ in range(10):
        site.visitor().get(f"/claim/{WRONG}")
    street.print_labels({"hp-free-0": street.code_of("hp-free-0")})

    street.owners.act()
    street.owners.act()
    assert [label.device for label in street.owners.waiting()] == ["hp-free-0"]
    site.clock.advance(MINUTES)
    street.monotonic_s += MINUTES.total_seconds()
    street.owners.act()

    assert street.sees("hp-free-0")
