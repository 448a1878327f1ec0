from pathlib import Path

import pytest

from core.errors import PermanentError
from core.secret import derive, load_key
from core.settings import load_settings, setting_names, settings_markdown, variable_of


def test_a_mistyped_variable_is_an_error_and_not_silent() -> None:
    with pytest.raises(PermanentError, match="FORECARE_DATABSE_URL"):
        load_settings({"FORECARE_DATABSE_URL": "postgresql://x"})


def test_the_environment_wins_over_the_default() -> None:
    settings = load_settings({"FORECARE_HTTP_PORT": "9001", "OTHER": "1"})

    assert settings.port == 9001
    assert settings.base_url == "http://127.0.0.1:9001"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", ""])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(PermanentError, match="FORECARE_HTTP_PORT"):
        _ = load_settings({"FORECARE_HTTP_PORT": port}).port


def test_shards_of_all_processes_are_all_shards_once() -> None:
    parts = [load_settings({"FORECARE_INGEST_SHARDS": f"{i}/3"}).shards for i in range(3)]

    assert sorted(shard for part in parts for shard in part) == list(range(256))


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "0/0", "0/257"])
def test_a_wrong_share_of_shards_is_refused(text: str) -> None:
    with pytest.raises(PermanentError, match="FORECARE_INGEST_SHARDS"):
        _ = load_settings({"FORECARE_INGEST_SHARDS": text}).shards


def test_every_setting_is_on_the_reference_page() -> None:
    page = settings_markdown()

    assert all(f"`{variable_of(name)}`" in page for name in setting_names())


def test_the_key_is_made_once_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "state" / "secret_key"

    first, second = load_key(file), load_key(file)

    assert first == second
    assert len(first) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_short_key_cannot_boot(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="fewer than 32"):
        load_key(tmp_path / "key", given="short")


def test_each_purpose_has_a_secret_of_its_own() -> None:
    key = b"k" * 32

    assert derive(key, "mqtt:ingest") == derive(key, "mqtt:ingest")
    assert derive(key, "mqtt:ingest") != derive(key, "mqtt:gateway")
    assert derive(key, "mqtt:ingest") != derive(b"l" * 32, "mqtt:ingest")
