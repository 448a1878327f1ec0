"""A disk for PostgreSQL that can be made full: a tmpfs whose size is lowered to what is used."""

import os
import subprocess
from pathlib import Path

_SIZE_BYTES = 6 << 30
"""Taken from memory only as far as it is used."""
_LEFT_BYTES = 64 << 10
_MOUNT_S = 20


class SmallDisk:
    """Mounted at a folder until `unmount`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_mounted(self) -> bool:
        return os.path.ismount(self.folder)

    def mount(self) -> str:
        """Mount it; return why it cannot be done, or an empty text."""
        self.folder.mkdir(parents=True, exist_ok=True)
        size = f"size={_SIZE_BYTES},mode=0755"
        return _run("mount", "-t", "tmpfs", "-o", size, "forecare-chaos", str(self.folder))

    def fill(self) -> str:
        """Leave hardly anything; return why it cannot be done, or an empty text."""
        facts = os.statvfs(self.folder)
        used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
        return self._resize(used + _LEFT_BYTES)

    def relieve(self) -> str:
        """Give all the space back; return why it cannot be done, or an empty text."""
        return self._resize(_SIZE_BYTES)

    def unmount(self) -> None:
        """Remove it with all that is on it; what is not mounted is fine."""
        if self.is_mounted and _run("umount", str(self.folder)):
            # Somebody's working folder: it goes when they end.
            _run("umount", "--lazy", str(self.folder))

    def _resize(self, size: int) -> str:
        return _run("mount", "-o", f"remount,size={size}", str(self.folder))


def _run(*command: str) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_MOUNT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if result.returncode == 0:
        return ""
    return result.stderr.strip() or f"{command[0]} ended with code {result.returncode}"
