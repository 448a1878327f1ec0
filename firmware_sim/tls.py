"""What a device shows at a broker that speaks TLS: files as `forecare ca device` writes them."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.errors import SimulatorError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """A folder with one folder per device, each with ca.crt and, for a certificate, device.crt and
    device.key. Without these two a device shows its password."""

    directory: Path

    def has_certificate(self, device: str) -> bool:
        return (self.directory / device / "device.crt").exists()

    def context(self, device: str) -> ssl.SSLContext:
        """Trust the authority of the folder alone, and show the device's certificate if it has one.

        Raises
        ------
        SimulatorError
            If a file is missing or is none of its kind.
        """
        folder = self.directory / device
        trusted = folder / "ca.crt"
        if not trusted.exists():
            trusted = self.directory / "ca.crt"
        try:
            context = ssl.create_default_context(cafile=str(trusted))
            if self.has_certificate(device):
                context.load_cert_chain(folder / "device.crt", folder / "device.key")
        except OSError as error:  # ssl.SSLError is one
            raise SimulatorError(
                f"the certificates of {device} in {self.directory} cannot be used: {error}",
                hint=f"it needs {trusted} and, in a folder {device}, device.crt and device.key",
            ) from error
        return context
