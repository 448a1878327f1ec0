"""Certificates at a real Mosquitto of the tests' own: who gets in, as whom, and who is thrown out."""

import secrets
import shutil
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import mqtt5
import pytest

from core.clock import wall_now
from core.endpoints import runtime_paths
from core.pool import Pool
from core.runtime import service as runtime
from core.runtime.hooks import broker_files_hook
from core.runtime.mosquitto import BrokerPorts
from core.runtime.state import load_state
from core.settings import Settings
from gateway import service
from gateway.broker import sync_broker
from gateway.ca.folder import FOR_THE_BROKER, CaFolder
from gateway.ca.service import restart_with_tls, revoke
from gateway.records import DeviceDraft
from tests.integration.gateway.client import RefusedError, TlsDevice
from tests.integration.gateway.sheets import SMALL

HOST = "127.0.0.1"
DENIED = mqtt5.PubAckReasonCode.NOT_AUTHORIZED
YEAR = timedelta(days=365)


@pytest.fixture
def authority(runtime_settings: Settings, tmp_path: Path) -> Iterator[CaFolder]:
    """An authority, and the embedded broker with TLS; without it again when the test is over."""
    folder = CaFolder(tmp_path / "ca", passphrase=str)
    folder.begin(passphrase="", now=wall_now())
    folder.issue_server([HOST, "broker.example.org"], now=wall_now())
    assert restart_with_tls(runtime_settings, folder)
    yield folder
    paths = runtime_paths(runtime_settings)
    for name in FOR_THE_BROKER:
        (paths.broker / name).unlink()
    runtime.restart_broker(paths, broker_files=broker_files_hook())


@pytest.fixture
def port(authority: CaFolder, runtime_settings: Settings) -> int:
    found = load_state(runtime_paths(runtime_settings).state).mqtts_port
    assert found
    return found


def files_of(folder: CaFolder, name: str, **more: Any) -> Path:
    """Give a device its certificate; returns where its files lie."""
    values = {"request": None, "valid_for": YEAR, "now": wall_now()} | more
    files = folder.issue_device(name, **values)
    target = folder.root.parent / f"{name}-{secrets.token_hex(4)}"
    target.mkdir()
    (target / "device.crt").write_bytes(files.certificate)
    (target / "device.key").write_bytes(files.key or b"")
    return target


def device(
    port: int, name: str, files: Path | None, authority: CaFolder, password: str = "", **more: Any
) -> TlsDevice:
    made = TlsDevice(HOST, port, name, password, **more)
    return made.with_files(files, trusted=authority.root / "ca.crt")


def test_the_name_in_the_certificate_is_the_device(authority: CaFolder, port: int) -> None:
    files = files_of(authority, "ada")

    with device(port, "ada", files, authority) as ada:
        own = ada.publish(b"{}", topic="fc/00/ada/telemetry")
        foreign = ada.publish(b"{}", topic="fc/00/bob/telemetry")

    assert own != DENIED
    assert foreign == DENIED


def test_no_user_name_and_no_client_id_makes_it_another_one(authority: CaFolder, port: int) -> None:
    bob, ada = files_of(authority, "bob"), files_of(authority, "ada")

    with device(port, "bob", bob, authority) as victim:
        with device(port, "bob", ada, authority, client_id="bob") as thief:
            answers = [
                thief.publish(b"{}", topic=topic)
                for topic in ("fc/00/bob/telemetry", "fc/00/ada/telemetry")
            ]
        victim.subscribe("fc/00/bob/stored")  # still connected

    assert [answer == DENIED for answer in answers] == [True, False]


def test_a_certificate_of_another_authority_is_refused(
    authority: CaFolder, port: int, tmp_path: Path
) -> None:
    foreign = CaFolder(tmp_path / "foreign" / "ca", passphrase=str)
    foreign.begin(passphrase="", now=wall_now())

    assert is_refused(device(port, "ada", files_of(foreign, "ada"), authority))


def test_without_a_certificate_nobody_gets_in(authority: CaFolder, port: int) -> None:
    assert is_refused(device(port, "ada", None, authority))


def test_an_ended_certificate_is_refused(authority: CaFolder, port: int) -> None:
    ended = files_of(authority, "ada", now=wall_now() - 2 * YEAR)

    assert is_refused(device(port, "ada", ended, authority))


def test_the_broker_s_own_certificate_is_no_device_s(authority: CaFolder, port: int) -> None:
    files = authority.root.parent / "server"
    files.mkdir()
    shutil.copy(authority.root / "server.crt", files / "device.crt")
    shutil.copy(authority.root / "server.key", files / "device.key")

    assert is_refused(device(port, HOST, files, authority))


def test_a_revoked_certificate_ends_the_session_and_shuts_the_door(
    authority: CaFolder, port: int, runtime_settings: Settings
) -> None:
    ada, bob = files_of(authority, "ada"), files_of(authority, "bob")

    with (
        device(port, "ada", ada, authority) as victim,
        device(port, "bob", bob, authority) as other,
    ):
        _, is_told = revoke(runtime_settings, authority, "ada", now=wall_now())

        assert is_told
        with pytest.raises(ConnectionError):
            victim.read_to_the_end()
        other.subscribe("fc/00/bob/stored")  # the others stay
    assert is_refused(device(port, "ada", ada, authority))
    with device(port, "bob", bob, authority):
        pass


def test_one_revoked_right_after_the_other_are_both_out(
    authority: CaFolder, port: int, runtime_settings: Settings
) -> None:
    files = {name: files_of(authority, name) for name in ("ada", "bob", "cid")}

    for name in ("ada", "bob"):
        revoke(runtime_settings, authority, name, now=wall_now())

    refused = {
        name: is_refused(device(port, name, files[name], authority)) for name in ("ada", "bob")
    }
    assert refused == {"ada": True, "bob": True}
    with device(port, "cid", files["cid"], authority):
        pass


def test_a_renewed_certificate_counts_beside_the_old_one(
    authority: CaFolder, port: int, runtime_settings: Settings
) -> None:
    old = files_of(authority, "ada")
    new = files_of(authority, "ada")
    for files in (old, new):
        with device(port, "ada", files, authority):
            pass

    revoke(runtime_settings, authority, "ada", now=wall_now(), keep_newest=True)

    assert is_refused(device(port, "ada", old, authority))
    with device(port, "ada", new, authority):
        pass


def test_two_authorities_count_while_one_follows_the_other(
    authority: CaFolder, port: int, runtime_settings: Settings
) -> None:
    old = files_of(authority, "ada")
    before = authority.root.parent / "trusted-before.crt"
    shutil.copy(authority.root / "ca.crt", before)

    authority.begin(passphrase="", now=wall_now())
    authority.issue_server([HOST], now=wall_now())
    assert restart_with_tls(runtime_settings, authority)
    new = files_of(authority, "ada")

    with device(port, "ada", old, authority).with_files(old, trusted=before):
        pass  # knows the old authority alone, and follows the chain to it
    with device(port, "ada", new, authority):
        pass
    authority.retire(1, now=wall_now())
    assert restart_with_tls(runtime_settings, authority)
    assert is_refused(device(port, "ada", old, authority))
    with device(port, "ada", new, authority):
        pass


def test_a_device_with_a_password_may_use_tls_too(
    authority: CaFolder, runtime_settings: Settings, pool: Pool
) -> None:
    port = load_state(runtime_paths(runtime_settings).state).mqtt_tls_port
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    (given,) = service.add_devices(
        pool, product="kettle", drafts=[DeviceDraft(name="ada", serial="1")], now=wall_now()
    )
    sync_broker(pool, runtime_settings)

    with device(port or 0, "ada", None, authority, password=given.password) as ada:
        service.revoke_device(pool, name="ada", now=wall_now())
        sync_broker(pool, runtime_settings)

        with pytest.raises(ConnectionError):
            ada.read_to_the_end()
    with pytest.raises(RefusedError), device(port or 0, "ada", None, authority, password="x"):
        pass


def test_sessions_and_passwords_outlive_the_change_to_tls(
    runtime_settings: Settings, broker: Any, authority: CaFolder
) -> None:
    ports = load_state(runtime_paths(runtime_settings).state)

    assert ports.mqtt_port == broker.port
    assert BrokerPorts(mqtt=broker.port, mqtts=ports.mqtts_port, mqtt_tls=ports.mqtt_tls_port)
    for file in FOR_THE_BROKER:
        assert (broker.directory / file).stat().st_mode & 0o007 == 0


def is_refused(client: TlsDevice) -> bool:
    """Whether the broker ends the connection before it says CONNACK."""
    try:
        with client:
            return False
    except (ssl.SSLError, ConnectionError, RefusedError):
        return True
