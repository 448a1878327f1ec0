"""A short run of the fuzzer for every codec, from the worst payloads and those of other makers."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import PROJECT_ROOT
from tests.fuzz.worst import worst_payloads

PAYLOADS = PROJECT_ROOT / "tests" / "fixtures" / "payloads"
RUNS = 20_000
pytest.importorskip("atheris", reason="made for x86_64 and Python below 3.13 alone")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for i, payload in enumerate(worst_payloads().values()):
        (tmp_path / f"worst-{i}").write_bytes(payload[:2000])
    for file in PAYLOADS.glob("*/*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / f"cut-{file.name}").write_bytes(
            bytes([min(255, file.stat().st_size)]) + file.read_bytes() * 2
        )
    return tmp_path


@pytest.mark.parametrize("target", ["any", "json", "cbor", "sparkplug"])
def test_the_fuzzer_finds_nothing(target: str, corpus: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fuzz.fuzz_codecs",
            target,
            f"-runs={RUNS}",
            "-seed=1",
            "-max_len=4096",
            f"-artifact_prefix={corpus.parent}/",
            str(corpus),
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:].decode(errors="replace")
    assert f"Done {RUNS} runs".encode() in done.stderr
