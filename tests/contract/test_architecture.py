"""Rules of the whole code base that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import _RESERVED, PROJECT_ROOT, setting_names, variable_of

PACKAGES = ("core", "gateway", "ingest", "anomaly", "maintenance", "api", "firmware_sim", "bench")
CLOCKS = {"core/clock.py", "firmware_sim/clock.py"}
WALL_CLOCK = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
RUNS_CODE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
"""Modules that run what a file says when they read it."""
RUNS_IN_PARALLEL = {"Parallel", "delayed", "parallel_config"}
"""What may be taken from joblib, by name: it reads no file."""

# In pieces, so that this very file names none of them.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("jsr", "io"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("anaconda", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("ftp", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("repo", "maven", "apache", "org"),
        ("cdn", "jsdelivr", "net"),
        ("unpkg", "com"),
        ("cdnjs", "cloudflare", "com"),
    )
)
MADE = {"build", "dist", "node_modules", "__pycache__"}


def sources() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (PROJECT_ROOT / package).rglob("*.py"))


def project_files(folder: Path = PROJECT_ROOT) -> Iterator[Path]:
    """Return every file that belongs to the project, without what is made or unpacked."""
    for entry in sorted(folder.iterdir()):
        if entry.name in MADE or entry.name.endswith(".egg-info"):
            continue
        if entry.is_dir() and (not entry.name.startswith(".") or entry.name == ".ci"):
            yield from project_files(entry)
        elif entry.is_file():
            yield entry


def shown(file: Path) -> str:
    return str(file.relative_to(PROJECT_ROOT))


def clock_readings(tree: ast.AST) -> Iterator[int]:
    """Return the lines that read the wall clock, under whatever name it was imported."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name] = alias.name
                if isinstance(node, ast.ImportFrom) and (node.module, alias.name) in WALL_CLOCK:
                    yield node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if (names.get(name, name), node.attr) in WALL_CLOCK:
                yield node.lineno


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _runs_in_parallel(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _runs_in_parallel(node: ast.ImportFrom) -> bool:
    return node.module == "joblib" and {alias.name for alias in node.names} <= RUNS_IN_PARALLEL


def ends_transactions(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "rollback"}:
            yield node.lineno


def parsed(file: Path) -> ast.AST:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def test_no_file_names_a_package_registry() -> None:
    pattern = re.compile(
        r"(?<![\w-])(?:[\w-]+\.)*(?:" + "|".join(map(re.escape, REGISTRIES)) + r")(?![\w-])",
        re.IGNORECASE,
    )
    files = list(project_files())
    found = [
        f"{shown(file)}: {match[0]}"
        for file in files
        for match in pattern.finditer(file.read_text(encoding="utf-8", errors="replace"))
    ]

    assert PROJECT_ROOT / "requirements.lock" in files
    assert pattern.search("https://registry." + REGISTRIES[3] + "/x")
    assert found == []


def test_only_the_clocks_read_the_clock() -> None:
    found = [
        f"{shown(file)}:{line}"
        for file in sources()
        if shown(file) not in CLOCKS
        for line in clock_readings(parsed(file))
    ]

    assert found == []


@pytest.mark.parametrize("clock", sorted(CLOCKS))
def test_the_clocks_do_read_it(clock: str) -> None:
    assert list(clock_readings(parsed(PROJECT_ROOT / clock)))


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.time()",
        "import time as t\nx = t.time",
        "from time import time",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as d\nd.now(UTC)",
        "from datetime import date\ndate.today()",
    ],
)
def test_a_hidden_reading_of_the_clock_is_seen(text: str) -> None:
    assert list(clock_readings(ast.parse(text)))


def test_nothing_that_is_read_can_run_code() -> None:
    found = [
        f"{shown(file)}: {name}"
        for file in sources()
        for name in imported(parsed(file))
        if name in RUNS_CODE
    ]

    assert found == []


@pytest.mark.parametrize(
    ("text", "is_harmless"),
    [
        ("from joblib import Parallel, delayed", True),
        ("from joblib import load", False),
        ("from joblib import Parallel, load", False),
        ("import joblib", False),
        ("from joblib.numpy_pickle import load", False),
    ],
)
def test_of_joblib_only_what_reads_no_file_is_taken(text: str, *, is_harmless: bool) -> None:
    assert (not set(imported(ast.parse(text))) & RUNS_CODE) == is_harmless


def test_stores_leave_the_end_of_a_transaction_to_the_edge() -> None:
    stores = [file for file in sources() if file.name == "store.py"]
    found = [f"{shown(file)}:{line}" for file in stores for line in ends_transactions(parsed(file))]

    assert len(stores) >= 5
    assert list(ends_transactions(ast.parse("connection.commit()")))
    assert found == []


def test_every_setting_has_its_line_in_the_reference() -> None:
    page = (PROJECT_ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in map(variable_of, setting_names()) if f"| `{name}` |" not in page]

    assert missing == []


def test_every_variable_that_a_page_names_exists() -> None:
    known = {variable_of(name) for name in setting_names()} | _RESERVED
    pages = [*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")]
    unknown = [
        f"{shown(page)}: {name}"
        for page in pages
        for name in re.findall(r"FORECARE_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8"))
        if name not in known
    ]

    assert unknown == []
