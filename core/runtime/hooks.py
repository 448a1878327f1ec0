"""Finds what another package brings to the runtime; this one must not import it."""

from importlib.metadata import entry_points

from core.errors import PermanentError
from core.runtime.service import BrokerFiles

_HOOKS = "forecare.hooks"


def broker_files_hook() -> BrokerFiles:
    """Return the function that writes the broker's configuration; the gateway brings it."""
    for hook in entry_points(group=_HOOKS, name="broker_files"):
        write: BrokerFiles = hook.load()
        return write
    raise PermanentError(
        "no package offers the broker's configuration",
        hint="install the project as a whole: uv pip install --editable .",
    )
