"""Where the database and the broker are: what the settings say, else the embedded runtime."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import InvalidError, RetryableError
from core.runtime import service as runtime
from core.runtime.ports import asked_port
from core.secret import derive
from core.settings import Settings

_MQTT_PORT = 1883


class NotRunningError(RetryableError):
    """The embedded servers have not been started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttEndpoint:
    host: str
    port: int
    user: str
    password: str


def runtime_paths(settings: Settings) -> runtime.RuntimePaths:
    """Return the folders of the embedded runtime of this installation.

    A folder `instances/NAME` inside another runtime folder is an installation of its own that
    shares the unpacked software: tests and unattended demos live there.
    """
    return _paths(settings.runtime_path)


def broker_dir(settings: Settings) -> Path:
    """Return the folder of the broker's configuration, access list and password file."""
    return Path(settings.broker_dir) if settings.broker_dir else runtime_paths(settings).broker


def ca_dir(settings: Settings) -> Path:
    """Return the folder of the certificate authority."""
    return Path(settings.ca_dir) if settings.ca_dir else runtime_paths(settings).root / "ca"


def database_url(settings: Settings) -> str:
    """Return the address of the database.

    Raises
    ------
    NotRunningError
        If none is set and the embedded one is not up.
    """
    return settings.database_url or _embedded(settings).database_url


def mqtt_url(settings: Settings) -> str:
    """Return the broker's address without credentials, as we reach it."""
    url = settings.mqtt_url or _embedded(settings).mqtt_url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _MQTT_PORT}"


def device_mqtt_url(settings: Settings) -> str:
    """Return the address under which devices reach the broker: it goes out with their credential."""
    return settings.device_mqtt_url or mqtt_url(settings)


def first_contact_port(settings: Settings) -> int | None:
    """Return the port on which the gateway answers first contacts, None when it answers none.

    With the embedded servers it is chosen once and remembered, as their own ports are.
    """
    if settings.provision_port:
        return asked_port("FORECARE_PROVISION_PORT", settings.provision_port)
    if settings.database_url and settings.mqtt_url:
        return None
    return runtime.first_contact_port(runtime_paths(settings))


def mqtt_endpoint(settings: Settings, user: str) -> MqttEndpoint:
    """Return the broker's address and the credential of one of our own processes.

    Parameters
    ----------
    settings : Settings
    user : str
        Name of the service, which is also its client id. Its password is derived from the
        installation's key, unless FORECARE_MQTT_URL brings a credential of its own.
    """
    url = urlsplit(settings.mqtt_url or _embedded(settings).mqtt_url)
    if url.scheme != "mqtt" or not url.hostname:
        raise InvalidError(
            f"FORECARE_MQTT_URL names the scheme {url.scheme!r}", hint="write mqtt://host:port"
        )
    return MqttEndpoint(
        host=url.hostname,
        port=url.port or _MQTT_PORT,
        user=unquote(url.username) if url.username else user,
        password=unquote(url.password) if url.password else service_password(settings, user),
    )


def service_password(settings: Settings, user: str) -> str:
    """Return the broker password of one of our own processes."""
    return derive(settings.key, f"mqtt:{user}")


def _paths(root: Path) -> runtime.RuntimePaths:
    if root.parent.name == "instances":
        return _paths(root.parent.parent).instance(root.name)
    return runtime.RuntimePaths.of(root)


def _embedded(settings: Settings) -> runtime.Endpoints:
    endpoints = runtime.endpoints(runtime_paths(settings))
    if endpoints is None:
        raise NotRunningError(
            "the embedded database and broker are not running",
            hint="`forecare runtime up` starts them; or set FORECARE_DATABASE_URL and FORECARE_MQTT_URL",
        )
    return endpoints
