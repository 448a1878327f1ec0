"""`docs/tutorial/connect-your-product.md`, followed word by word on an installation of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psycopg
import pytest

from core.runtime import service as runtime
from core.runtime.ports import free_port
from core.settings import PROJECT_ROOT

_PAGE = (PROJECT_ROOT / "docs/tutorial/connect-your-product.md").read_text(encoding="utf-8")
_ACCOUNT_PASSWORD = "ristretto-2-go"
_PATIENCE_S = 90.0


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _PAGE, re.DOTALL | re.MULTILINE)


class _Terminal:
    """A person at a shell in the project's folder, who has set the page's alias."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.filled_in: dict[str, str] = {}

    def type(self, text: str) -> str:
        """Run commands of the page as they stand there; return what they print."""
        result = subprocess.run(
            self._shell(text),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert result.returncode == 0, f"{text}\n{result.stdout}{result.stderr}"
        return result.stdout

    def leave_running(self, text: str, *, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            return subprocess.Popen(
                self._shell(f"exec {_spelled_out(text)}"),
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def _shell(self, text: str) -> list[str]:
        for word, value in self.filled_in.items():
            text = re.sub(rf"\b{word}\b(?!-)", value, text)
        return ["bash", "-ec", f"shopt -s expand_aliases\n{_ALIAS}\n{text}"]


_ALIAS = next(line for block in _blocks("sh") for line in block.splitlines() if "alias" in line)


def _spelled_out(text: str) -> str:
    """Put the alias' meaning in its place: a shell does not expand it behind `exec`."""
    meaning = _ALIAS.partition("=")[2].strip('"')
    return re.sub(r"^forecare\b", meaning, text)


@pytest.fixture
def paths(runtime_paths: runtime.RuntimePaths) -> Iterator[runtime.RuntimePaths]:
    paths = runtime_paths.instance("tutorial")
    runtime.down(paths)  # a run that was killed may have left servers
    shutil.rmtree(paths.root, ignore_errors=True)
    paths.root.mkdir(parents=True)
    yield paths
    runtime.down(paths)


@pytest.fixture
def terminal(tmp_path: Path, paths: runtime.RuntimePaths) -> _Terminal:
    """A folder that looks like the checkout after `make setup`, with data of its own."""
    (tmp_path / ".venv").symlink_to(PROJECT_ROOT / ".venv")
    (tmp_path / ".runtime").mkdir()
    (tmp_path / ".runtime/software").symlink_to(paths.software)
    ours = {
        "FORECARE_RUNTIME_DIR": str(paths.root),
        "FORECARE_HTTP_PORT": str(free_port()),
        "FORECARE_ACCOUNT_PASSWORD": _ACCOUNT_PASSWORD,
    }
    return _Terminal(tmp_path, os.environ | ours)


@pytest.fixture
def platform(terminal: _Terminal, tmp_path: Path) -> Iterator[str]:
    """The first step of the page, in a terminal of its own; the value is the pages' address."""
    setup, alias, serve = _blocks("sh")[0].splitlines()
    assert (setup, alias) == ("make setup", _ALIAS)
    log = tmp_path / "serve.log"
    process = terminal.leave_running(serve, log=log)
    url = f"http://127.0.0.1:{terminal.environment['FORECARE_HTTP_PORT']}"
    try:
        _wait_for(lambda: _is_ready(url), what=f"the pages; see {log}")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    assert code == 0, log.read_text()
    assert url in log.read_text()


def test_the_page_can_be_followed_to_its_end(
    terminal: _Terminal, platform: str, paths: runtime.RuntimePaths
) -> None:
    _, add_product, add_device, send, look, send_wrong, mend, add_account, simulate = _blocks("sh")
    (sheet,) = _blocks("toml")
    file = terminal.folder / "coffee.toml"

    file.write_text(sheet, encoding="utf-8")
    assert "telemetry.coffee_machine" in terminal.type(add_product)
    terminal.filled_in = _credential(terminal.type(add_device))

    terminal.type(send)
    _wait_for(lambda: len(_stored(paths)) == 1, what="the sample in the table")
    assert _stored(paths) == [(9.1, 4.2, 93.5)]
    table = terminal.type(look)
    assert _words(table.splitlines()[1]) == _words(_PAGE[_PAGE.index("┃ device") :].splitlines()[0])
    assert _first_row(table) == [
        "coffee-0001",
        "coffee_machine",
        "ada@example.com",
        "never said",
        "yes",
        "1",
    ]

    *publish, list_letters = send_wrong.splitlines()
    terminal.type("\n".join(publish))
    _wait_for(lambda: "coffee-0001" in terminal.type(list_letters), what="the dead letter")
    letters = terminal.type(list_letters)
    assert "out_of_range" in letters
    assert "brew_pressure_bar" in letters
    assert '"brew_pressure_bar": 27' in terminal.type("forecare dead-letters show 1")
    assert len(_stored(paths)) == 1

    assert sheet.count("range = [0, 20]\ndepends_on") == 1
    file.write_text(sheet.replace("range = [0, 20]", "range = [0, 40]", 1), encoding="utf-8")
    assert "1 stored, 0 refused" in terminal.type(mend)
    assert (27.0, 4.0, 93.1) in _stored(paths)
    assert "no dead letters" in terminal.type(list_letters)

    assert "may sign in" in terminal.type(add_account)
    token = _sign_in(platform, "you@example.com")
    (device,) = _get(platform, "/api/v1/devices", token)["items"]
    assert (device["name"], device["is_reporting"]) == ("coffee-0001", True)

    terminal.filled_in = {"PASSWORD-OF-THE-ACCOUNT": _ACCOUNT_PASSWORD, "10": "2", "30": "1"}
    assert '"event":"finished"' in terminal.type(simulate)
    assert len(_get(platform, "/api/v1/devices", token)["items"]) == 3


def test_a_sheet_can_be_looked_at_without_any_platform(terminal: _Terminal) -> None:
    (terminal.folder / "coffee.toml").write_text(_blocks("toml")[0], encoding="utf-8")
    (command,) = re.findall(r"`(forecare product add coffee\.toml --check)`", _PAGE)

    assert "is sound" in terminal.type(command)


def _credential(printed: str) -> dict[str, str]:
    """Read what a person would copy from the answer of `forecare device add`."""
    port = re.search(r"^broker .*:(\d+)$", printed, re.MULTILINE)
    password = re.search(r"^password +(\S+)", printed, re.MULTILINE)
    shard = re.search(r"^topic +fc/(\w\w)/coffee-0001/telemetry$", printed, re.MULTILINE)
    assert port is not None
    assert password is not None
    assert shard is not None
    return {"PORT": port[1], "PASSWORD": password[1], "SHARD": shard[1]}


def _stored(paths: runtime.RuntimePaths) -> list[tuple[float, float, float]]:
    endpoints = runtime.endpoints(paths)
    assert endpoints is not None
    with psycopg.connect(endpoints.database_url) as connection:
        rows = connection.execute(
            "select brew_pressure_bar, flow_ml_s, boiler_c from telemetry.coffee_machine"
            " order by measured_at"
        ).fetchall()
    return [(round(a, 3), round(b, 3), round(c, 3)) for a, b, c in rows]


def _words(heading: str) -> list[str]:
    return heading.replace("┃", " ").split()


def _first_row(table: str) -> list[str]:
    """Return the cells of a table's first row, but for the time of the last sample."""
    (row,) = [line for line in table.splitlines() if "coffee-0001" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", cells.pop(5))
    return cells


def _sign_in(url: str, email: str) -> str:
    request = urllib.request.Request(
        f"{url}/api/v1/session",
        data=json.dumps({"email": email, "password": _ACCOUNT_PASSWORD}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = json.load(answer)
    assert content["role"] == "manufacturer"
    return str(content["token"])


def _get(url: str, path: str, token: str) -> Any:
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _is_ready(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/readyz", timeout=2).close()
    except (URLError, OSError):
        return False
    return True


def _wait_for(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
