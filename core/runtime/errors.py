"""What can go wrong when servers are installed and run on an unknown machine."""

from core.errors import PermanentError, RetryableError


class NoPackageToolsError(PermanentError):
    """The machine has no apt, dpkg-deb, tar or patchelf."""


class NoMirrorError(PermanentError):
    """No package mirror of this machine carries the release that is needed."""


class NoNetworkError(RetryableError):
    """The mirrors cannot be reached now."""


class DownloadError(RetryableError):
    """A package arrived broken or not at all."""


class DiskFullError(RetryableError):
    """Too little space; nothing half-installed is left behind."""


class BrokenInstallError(PermanentError):
    """The unpacked programs do not run here."""


class WrongOwnerError(PermanentError):
    """The folder belongs to somebody else."""


class NoAccountError(PermanentError):
    """No unprivileged account to run the servers as."""


class PortTakenError(PermanentError):
    """A port that was asked for is held by another process."""


class ServerStartError(RetryableError):
    """A server did not come up; the message ends with its log."""


class ServerStopError(RetryableError):
    """A server did not stop in time."""


class NotRunningError(PermanentError):
    """The call needs a running server."""


class DataVersionError(PermanentError):
    """The data folder was made by another major version."""
