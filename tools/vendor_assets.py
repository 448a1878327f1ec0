"""Copies the browser's libraries, font and icons into the repository, and checks that they are whole.

    tools/vendor_assets.py --check     compare every file with assets.lock.json; needs no network
    tools/vendor_assets.py --update    fetch what assets.toml names through the npm client

Only the listed files and their licence texts are kept, so nothing else of a package gets in.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "tools/assets.toml"
LOCK = ROOT / "tools/assets.lock.json"

Lock = dict[str, dict[str, str]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="compare the files with the lock")
    action.add_argument(
        "--update", action="store_true", help="fetch the packages and write the lock"
    )
    return update() if parser.parse_args().update else check()


def update() -> int:
    known: Lock = json.loads(LOCK.read_text()) if LOCK.exists() else {"packages": {}, "files": {}}
    lock: Lock = {"packages": {}, "files": {}}
    for package in tomllib.loads(PLAN.read_text())["package"]:
        pinned = f"{package['name']}@{package['version']}"
        archive = _fetch(pinned)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
        if known["packages"].get(pinned, integrity) != integrity:
            print(f"{pinned}: the package is not the one that was locked", file=sys.stderr)
            return 1
        lock["packages"][pinned] = integrity
        for name, content in _wanted(package, archive).items():
            target = ROOT / package["into"] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            lock["files"][f"{package['into']}/{name}"] = hashlib.sha256(content).hexdigest()
    LOCK.write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    return check()


def check() -> int:
    lock: Lock = json.loads(LOCK.read_text())
    planned = {f"{p['name']}@{p['version']}" for p in tomllib.loads(PLAN.read_text())["package"]}
    wrong = [f"{name}: not in the lock, run --update" for name in planned - lock["packages"].keys()]
    for name, digest in lock["files"].items():
        file = ROOT / name
        if not file.exists():
            wrong.append(f"{name}: missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            wrong.append(f"{name}: differs from the lock")
    folders = {(ROOT / name).parent for name in lock["files"]}
    present = {
        str(f.relative_to(ROOT)) for folder in folders for f in folder.iterdir() if f.is_file()
    }
    wrong += [f"{name}: nobody listed it" for name in present - lock["files"].keys()]
    for line in sorted(wrong):
        print(line, file=sys.stderr)
    print(f"{len(lock['files'])} vendored files, {len(wrong)} wrong")
    return 1 if wrong else 0


def _fetch(pinned: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", pinned], cwd=folder, check=True, stdout=subprocess.PIPE
        )
        (archive,) = Path(folder).glob("*.tgz")
        return archive.read_bytes()


def _wanted(package: dict[str, Any], archive: bytes) -> dict[str, bytes]:
    short = package["name"].rsplit("/", 1)[-1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:

        def read(name: str) -> bytes:
            stream = tar.extractfile(f"package/{name}")
            if stream is None:
                raise FileNotFoundError(name)
            return stream.read()

        found = {f"{short}.LICENSE.txt": read(package["licence"])}
        found |= {target: read(source) for source, target in package.get("files", {}).items()}
        if "sprite" in package:
            icons = {name: read(f"icons/{name}.svg").decode() for name in package["icons"]}
            found[package["sprite"]] = _sprite(icons).encode()
    return found


def _sprite(icons: dict[str, str]) -> str:
    """Join icons into one file whose symbols a page takes with `<use href="…#name">`."""
    symbols = []
    for name, svg in sorted(icons.items()):
        match = re.search(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)
        if match is None:
            message = f"{name} is no SVG"
            raise ValueError(message)
        inner = re.sub(r">\s+<", "><", match[1].strip())
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


if __name__ == "__main__":
    sys.exit(main())
