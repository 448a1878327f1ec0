"""What the runtime keeps on the disk: state, packages, places."""

import hashlib
import threading
import time
from pathlib import Path

from core.runtime.packages import Package, PackageCache
from core.runtime.paths import RuntimePaths, fallback_for
from core.runtime.progress import SILENT
from core.runtime.software import installed
from core.runtime.state import State, load_state, locked, save_state


def _package(content: bytes) -> Package:
    digest = hashlib.sha256(content).hexdigest()
    return Package(file="a_1_all.deb", size_bytes=len(content), sha256=digest)


def test_state_survives_and_is_private(tmp_path):
    file = tmp_path / "state.json"
    state = State(password="x", postgres_port=20_001)

    save_state(file, State())
    save_state(file, state)

    assert load_state(file) == state
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_state_cut_off_or_from_a_later_version_is_read_as_far_as_it_goes(tmp_path):
    file = tmp_path / "state.json"
    file.write_text('{"password": "x"')
    assert load_state(file) == State()

    file.write_text('{"password": "x", "colour": "red"}')
    assert load_state(file) == State(password="x")


def test_a_cached_package_is_used_again(tmp_path):
    package, content = _package(b"deb"), b"deb"
    (tmp_path / "found").write_bytes(content)
    cache = PackageCache(tmp_path)
    into = tmp_path / "into"
    into.mkdir()

    assert not cache.take(package, into)
    cache.keep(package, tmp_path / "found")

    assert cache.take(package, into)
    assert (into / package.file).read_bytes() == content


def test_a_cached_package_that_was_tampered_with_is_not_used(tmp_path):
    package = _package(b"deb")
    (tmp_path / "found").write_bytes(b"evil")
    cache = PackageCache(tmp_path)
    cache.keep(package, tmp_path / "found")
    into = tmp_path / "into"
    into.mkdir()

    assert not cache.take(package, into)
    assert list(into.iterdir()) == []


def test_software_that_was_moved_or_never_finished_is_not_installed(tmp_path):
    assert installed(tmp_path) is None

    (tmp_path / "forecare.json").write_text(
        '{"format": 1, "suite": "trixie", "home": "/elsewhere", "packages": []}'
    )
    assert installed(tmp_path) is None


def test_the_lock_keeps_two_commands_apart(tmp_path):
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock", purpose="x", progress=SILENT):
            order.append("second")

    with locked(tmp_path / "lock", purpose="x", progress=SILENT):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_place_that_was_moved_is_remembered(tmp_path):
    (tmp_path / "moved-to").write_text("/var/tmp/forecare-abc\n")

    paths = RuntimePaths.of(tmp_path)

    assert paths.root == Path("/var/tmp/forecare-abc")
    assert paths.relocated_from == tmp_path


def test_two_checkouts_never_share_a_stand_in():
    assert fallback_for(Path("/root/a/.runtime")) != fallback_for(Path("/root/b/.runtime"))


def test_a_folder_among_the_instances_shares_the_software(tmp_path):
    main = RuntimePaths.of(tmp_path)

    second = RuntimePaths.of(main.root / "instances" / "two")

    assert (second.root, second.software) == (main.root / "instances/two", main.software)
    assert second.is_isolated
