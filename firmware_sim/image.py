"""Firmware images of simulated devices: what a version does to its device stands in its first lines.

    python -m firmware_sim.image --version 4.4.0 heat_pump-4.4.0.bin
    python -m firmware_sim.image --version 4.4.0 --fault fan_bearing --share 0.6 heat_pump-4.4.0.bin

An image that somebody else made is taken too; it changes nothing but the version.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import click
import msgspec

from firmware_sim.errors import SimulatorError
from firmware_sim.fleet import MODELS
from firmware_sim.history import FirmwareFault

SIZE_BYTES = 200_000
_MAGIC = b"forecare simulated firmware\n"
_HEAD_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What happens to devices that install an image. All are shares, 0 to 1."""

    fails: float = 0.0
    """Installing fails; the device goes on with the old version."""
    rolls_back: float = 0.0
    """The new version does not come up, and the device starts with the old one again."""
    reboots_midway: float = 0.0
    """The device restarts in the middle of the download."""
    fault: FirmwareFault | None = None
    share: float = 1.0
    """Of the devices that show the fault."""


def make_image(behaviour: Behaviour, *, version: str, size_bytes: int = SIZE_BYTES) -> bytes:
    """Build an image of a size; the same arguments give the same bytes."""
    head = _MAGIC + json.dumps({"version": version, **asdict(behaviour)}).encode() + b"\n"
    if len(head) > min(size_bytes, _HEAD_BYTES_MAX):
        raise SimulatorError(f"an image of {size_bytes} bytes has no room for its first lines")
    return head + Random(version).randbytes(size_bytes - len(head))  # noqa: S311 - filling


def read_behaviour(image: bytes) -> Behaviour:
    """Read what an image (or its beginning) does; an unknown one does nothing special."""
    if not image.startswith(_MAGIC):
        return Behaviour()
    line = image[len(_MAGIC) : _HEAD_BYTES_MAX].partition(b"\n")[0]
    try:
        return msgspec.json.decode(line, type=Behaviour)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Behaviour()


_share = click.FloatRange(0, 1)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--version", required=True, help="As the devices will say it.")
@click.option("--size", default=SIZE_BYTES, show_default=True, type=click.IntRange(1000, 2**26))
@click.option("--fails", default=0.0, type=_share, help="Share of devices that cannot install it.")
@click.option("--rolls-back", default=0.0, type=_share, help="Share of tries that roll back.")
@click.option("--reboots", default=0.0, type=_share, help="Share that restarts while loading it.")
@click.option(
    "--fault",
    default="",
    type=click.Choice(["", *sorted({m.name for p in MODELS.values() for m in p.modes})]),
    help="Failure mode whose meters show wear under this version, though nothing wears.",
)
@click.option(
    "--share", default=1.0, show_default=True, type=_share, help="Of devices with --fault."
)
@click.option("--wear", default=0.7, show_default=True, type=_share, help="How far the meters go.")
@click.option("--days", default=5.0, show_default=True, help="Until the fault shows fully.")
def write(file: Path, **given: Any) -> None:
    """Write a firmware image for simulated devices to FILE. Sign it as any other image."""
    mode = given["fault"]
    fault = FirmwareFault(failure_mode=mode, wear=given["wear"], days=given["days"])
    behaviour = Behaviour(
        fails=given["fails"],
        rolls_back=given["rolls_back"],
        reboots_midway=given["reboots"],
        fault=fault if mode else None,
        share=given["share"],
    )
    image = make_image(behaviour, version=given["version"], size_bytes=given["size"])
    file.write_bytes(image)
    click.echo(f"{file}: {len(image):,} bytes")


if __name__ == "__main__":
    write()
