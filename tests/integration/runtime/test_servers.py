"""Real servers: started twice, killed, robbed of their port, and found again."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.runtime import doctor, service
from core.runtime.paths import RuntimePaths
from core.runtime.processes import is_alive, wait_until_gone
from core.runtime.progress import SilentProgress
from core.runtime.service import Endpoints
from core.runtime.state import load_state
from core.settings import PROJECT_ROOT

_MAIN = Path(os.environ.get("FORECARE_TEST_SOFTWARE") or PROJECT_ROOT / ".runtime")


class Notes(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def write_broker_files(folder: Path, ports: service.BrokerPorts) -> None:
    lines = [f"listener {ports.mqtt} 127.0.0.1", "allow_anonymous true", f"acl_file {folder}/acl"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    (folder / "acl").write_text("topic readwrite #\n")


def start(paths: RuntimePaths, progress: SilentProgress | None = None) -> Endpoints:
    return service.up(paths, broker_files=write_broker_files, progress=progress or Notes())


def answer(endpoints: Endpoints, query: str = "select 1") -> object:
    with psycopg.connect(endpoints.database_url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return row[0] if row else None


def port_of(url: str) -> int:
    return int(url.rpartition("@")[2].rpartition("//")[2].split("/")[0].rpartition(":")[2])


@pytest.fixture(scope="module")
def paths(runtime_paths: RuntimePaths) -> Iterator[RuntimePaths]:
    """One instance for this file, started once, with the software that all share."""
    paths = RuntimePaths.of(_MAIN).instance(f"runtime-{runtime_paths.root.name}")
    service.down(paths)
    shutil.rmtree(paths.root, ignore_errors=True)
    yield paths
    service.down(paths)
    shutil.rmtree(paths.root, ignore_errors=True)


@pytest.fixture
def up(paths: RuntimePaths) -> Endpoints:
    return start(paths)


def test_up_twice_finds_the_same_servers(paths, up):
    again = start(paths)

    assert again == up == service.endpoints(paths)
    assert service.status(paths).is_up


def test_down_twice_is_fine_and_data_stay(paths, up):
    with psycopg.connect(up.database_url, autocommit=True) as connection:
        connection.execute("create table if not exists kept as select 7 as value")

    service.down(paths)
    service.down(paths)

    assert service.endpoints(paths) is None
    assert not is_alive(up.postgres_pid)
    assert answer(start(paths), "select max(value) from kept") == 7


def test_the_database_is_durable_has_the_extension_and_knows_time_zones(up):
    query = """
        select array_agg(setting order by name) from pg_settings
        where name in ('fsync', 'full_page_writes', 'synchronous_commit')
    """

    assert answer(up, query) == ["on", "on", "on"]
    assert answer(up, "select 1 from pg_extension where extname = 'timescaledb'") == 1
    assert (
        answer(
            up,
            "select extract(hour from timestamptz '2026-07-01 00:00Z' at time zone 'Asia/Tokyo')",
        )
        == 9
    )


def test_nobody_else_can_read_the_password(paths, up):
    assert paths.state.stat().st_mode & 0o777 == 0o600
    assert load_state(paths.state).password in up.database_url


def test_a_killed_postmaster_comes_back_with_its_data(paths, up):
    with psycopg.connect(up.database_url, autocommit=True) as connection:
        connection.execute("create table if not exists survived as select 1 as value")
        connection.execute("insert into survived values (2)")
        os.kill(up.postgres_pid, signal.SIGKILL)
        assert wait_until_gone(up.postgres_pid, 60)

        back = start(paths)

    assert back.postgres_pid != up.postgres_pid
    assert back.database_url == up.database_url
    assert answer(back, "select max(value) from survived") == 2


def test_a_busy_orphan_of_a_killed_postmaster_does_not_stand_in_the_way(paths, up):
    client = psycopg.connect(up.database_url)
    orphan = client.info.backend_pid
    client.pgconn.send_query(b"select count(*) from generate_series(1, 1000000000)")
    os.kill(up.postgres_pid, signal.SIGKILL)
    assert wait_until_gone(up.postgres_pid, 60)
    assert is_alive(orphan)

    back = start(paths)

    assert not is_alive(orphan)
    assert answer(back) == 1
    client.close()


def test_a_killed_broker_comes_back_and_the_database_does_not_notice(paths, up):
    os.kill(up.mosquitto_pid, signal.SIGKILL)
    assert wait_until_gone(up.mosquitto_pid, 60)
    assert service.endpoints(paths) is None

    back = start(paths)

    assert back.mosquitto_pid != up.mosquitto_pid
    assert (back.mqtt_url, back.postgres_pid) == (up.mqtt_url, up.postgres_pid)


def test_a_stolen_port_is_left_to_the_thief(paths, up):
    service.down(paths)
    with socket.create_server(("127.0.0.1", port_of(up.mqtt_url))):
        notes = Notes()

        moved = start(paths, notes)

    assert moved.mqtt_url != up.mqtt_url
    (said,) = [said for said in notes.said if "Mosquitto moves to port" in said]
    assert f"is taken by process {os.getpid()} (" in said
    assert start(paths).mqtt_url == moved.mqtt_url


def test_a_stranger_whose_pid_stands_in_a_stale_pid_file_is_left_alone(paths, up, tmp_path):
    service.down(paths)
    disguised = tmp_path / "postgres"
    shutil.copy(shutil.which("sleep"), disguised)
    with subprocess.Popen([disguised, "300"], cwd="/") as stranger:
        pid_file = paths.data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{paths.data}\n")

        assert service.status(paths).postgres.pid is None
        service.down(paths)
        pid_file.write_text(f"{stranger.pid}\n{paths.data}\n")
        back = start(paths)
        service.down(paths)

        assert back.postgres_pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


def test_two_instances_live_side_by_side(paths, up):
    other = paths.instance("beside")
    second = start(other)
    try:
        assert answer(second) == answer(up) == 1
        assert second.postgres_pid != up.postgres_pid
        assert (
            len({port_of(url) for url in (second.mqtt_url, up.mqtt_url, second.database_url)}) == 3
        )
    finally:
        service.down(other)

    assert service.endpoints(paths) == up


def test_a_lost_state_costs_the_password_and_no_data(paths, up):
    with psycopg.connect(up.database_url, autocommit=True) as connection:
        connection.execute("create table if not exists remembered as select 5 as value")
    paths.state.unlink()

    found = start(paths)

    assert found.database_url != up.database_url
    assert answer(found, "select max(value) from remembered") == 5


def test_a_second_server_on_the_same_folder_is_refused(paths, up):
    """As another container would meet it: it sees no process of ours, only the lock."""
    elsewhere = psycopg.connect(up.database_url)
    hidden = RuntimePaths(root=paths.root, software=paths.software)
    postgres = service.Postgres(paths=hidden, account=hidden.account())
    with pytest.raises(service.ServerStartError, match="cannot be seen"), postgres._sole_use():
        pass

    assert elsewhere.execute("select 1").fetchone() == (1,)
    elsewhere.close()


def test_a_reload_reads_new_files_and_keeps_the_process(paths, up):
    (paths.broker / "acl").unlink()
    (paths.broker / "acl").write_text("topic readwrite #\n")
    (paths.broker / "acl").chmod(0o600)

    service.reload_broker(paths)

    assert service.status(paths).mosquitto.pid == up.mosquitto_pid
    assert (paths.broker / "acl").stat().st_uid == paths.account().uid


def test_restarts_keep_the_ports(paths, up):
    service.restart_broker(paths)
    service.restart_postgres(paths)

    now = service.endpoints(paths)
    assert now is not None
    assert (now.database_url, now.mqtt_url) == (up.database_url, up.mqtt_url)
    assert now.mosquitto_pid != up.mosquitto_pid


def test_the_doctor_finds_a_running_installation_well(paths, up):
    findings = doctor.examine(paths)

    assert [finding for finding in findings if finding.grade is doctor.Grade.FAIL] == []
    assert any("listens on" in finding.text for finding in findings)


def test_the_doctor_sees_a_full_disk(paths, up):
    findings = doctor.examine(paths, free=lambda _: 0)

    (disk,) = [finding for finding in findings if finding.subject == "disk"]
    assert disk.grade is doctor.Grade.WARN
    assert disk.mend
