"""How simulated devices get in: by their product's key, and with a certificate. Both sides as they ship."""

from dataclasses import replace

import pytest

from core.clock import wall_now
from firmware_sim.connection import Address, Identity
from firmware_sim.errors import SimulatorError
from firmware_sim.first_contact import ProductKey, contact, new_nonce, parse_product_keys
from firmware_sim.fleet import make_fleet
from firmware_sim.tls import TlsFiles
from gateway import service as registry
from gateway.first_contact import service as door
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.counter import Counter
from gateway.sheet import sheet_path
from tests.integration.firmware_sim.rig import HP_1, Rig
from tests.integration.gateway.test_tls import YEAR, authority, port

__all__ = ["authority", "port"]

START_S = 1_789_992_000


@pytest.fixture
def unit():
    return make_fleet(devices=1, days=1, seed=7, start_s=START_S, products=["heat_pump"]).units[0]


@pytest.fixture
def product(pool):
    text = sheet_path("heat_pump").read_text(encoding="utf-8")
    registry.register_product(pool, toml_text=text, source="heat_pump.toml", now=wall_now())


@pytest.fixture
def counter(pool, runtime_settings, broker, product):
    reception = door.Reception(pool, runtime_settings, allowance=Allowance())
    opened = Counter(reception, host="127.0.0.1", port=0)
    opened.start()
    yield opened
    opened.close()


@pytest.fixture
def made():
    made = []
    yield made
    for rig in made:
        if not rig.is_over:
            rig.crash()


def key_of(pool):
    new = door.add_product_key(pool, product="heat_pump", allows="new", now=wall_now())
    return ProductKey(product="heat_pump", key=new.key, secret=new.secret)


def address_of(counter):
    return Address(host="127.0.0.1", port=counter.port, is_tls=False)


def test_a_device_comes_with_its_products_key_and_connects_with_what_it_got(
    pool, counter, broker, unit, tmp_path, made
):
    key, nonce = key_of(pool), new_nonce()

    first = contact(unit, address=address_of(counter), key=key, nonce=nonce)
    again = contact(unit, address=address_of(counter), key=key, nonce=nonce)

    assert again.device == first.device
    assert again.password != first.password
    identity = Identity(
        name=again.device,
        shard=again.shard,
        password=again.password,
        product="heat_pump",
        firmware=unit.firmware,
    )
    rig = Rig(tmp_path, broker.port, made=made, identity=identity)
    rig.until(lambda: rig.courier.clients[again.device].is_connected)
    found = registry.device_by_name(pool, name=first.device)
    assert (found.serial, found.firmware) == (unit.serial, unit.firmware)


def test_who_has_not_the_nonce_or_the_secret_is_told_why_it_gets_nothing(pool, counter, unit):
    key = key_of(pool)
    contact(unit, address=address_of(counter), key=key, nonce=new_nonce())

    with pytest.raises(SimulatorError, match="taken"):
        contact(unit, address=address_of(counter), key=key, nonce=new_nonce())
    guess = replace(key, secret="a guess")
    with pytest.raises(SimulatorError, match="wrong_key"):
        contact(unit, address=address_of(counter), key=guess, nonce=new_nonce())


def test_keys_are_read_from_the_command_line():
    assert parse_product_keys(("heat_pump=pk-1:s:2",)) == {
        "heat_pump": ProductKey(product="heat_pump", key="pk-1", secret="s:2")
    }
    with pytest.raises(SimulatorError, match="PRODUCT=KEY:SECRET"):
        parse_product_keys(("heat_pump=pk-1",))


def test_a_device_shows_its_certificate_instead_of_a_password(authority, port, tmp_path, made):
    files = authority.issue_device("hp-1", request=None, valid_for=YEAR, now=wall_now())
    folder = tmp_path / "devices" / "hp-1"
    folder.mkdir(parents=True)
    (folder / "device.crt").write_bytes(files.certificate)
    (folder / "device.key").write_bytes(files.key)
    (folder / "ca.crt").write_bytes(files.trusted)
    tls = TlsFiles(directory=tmp_path / "devices")

    rig = Rig(tmp_path, port, made=made, identity=replace(HP_1, password="wrong"), tls=tls)
    rig.until(lambda: rig.courier.clients["hp-1"].is_connected)

    assert rig.courier.problems() == []


def test_missing_certificates_are_named(tmp_path):
    with pytest.raises(SimulatorError, match="hp-1"):
        TlsFiles(directory=tmp_path).context("hp-1")
