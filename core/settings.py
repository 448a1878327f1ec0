"""Every setting, its default and what it does: the only reader of FORECARE_* variables.

`docs/reference/settings.md` is generated from this file (`forecare settings --markdown`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

from core.errors import PermanentError
from core.secret import load_key

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def _setting(default: str, about: str) -> str:
    value: str = field(default=default, metadata={"about": about})
    return value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings as texts; the properties below give them their types."""

    database_url: str = _setting(
        "", "Address of a TimescaleDB. Empty: the embedded one, started by `forecare runtime up`."
    )
    mqtt_url: str = _setting(
        "",
        "Address of an MQTT 5 broker (mqtt://host:port, with user:password@ where ours are not used)."
        " Empty: the embedded one.",
    )
    runtime_dir: str = _setting(
        "",
        "Folder of the embedded servers and of all local state. Empty: `.runtime` in the project.",
    )
    broker_dir: str = _setting(
        "",
        "Folder into which the broker's configuration, access list and password file are written."
        " Empty: `broker` in the runtime folder.",
    )
    secret_key: str = _setting(
        "",
        "At least 32 characters from which service passwords and link signatures are derived."
        " Empty: `secret_key` in the runtime folder, made at first use.",
    )
    http_host: str = _setting("127.0.0.1", "Address on which the web pages and the API listen.")
    http_port: str = _setting("8000", "Port on which the web pages and the API listen.")
    public_url: str = _setting(
        "",
        "Address under which people reach the pages; links in messages start with it."
        " Empty: http://127.0.0.1:<http port>.",
    )
    smtp_url: str = _setting(
        "",
        "Outgoing mail: smtp://[user:password@]host:port, smtps:// for TLS. Empty: no mail is sent; messages wait.",
    )
    mail_from: str = _setting("Forecare <care@forecare.example>", "Sender of messages to owners.")
    inbox_dir: str = _setting(
        "", "Maildir of the built-in mail sink, shown under /inbox. Empty: no such page."
    )
    ingest_shards: str = _setting(
        "0/1", "Which part of the devices this ingest process takes: `1/4` is the second of four."
    )
    pg_port: str = _setting(
        "", "Fixed port of the embedded TimescaleDB. Empty: a free one, remembered."
    )
    mqtt_port: str = _setting(
        "", "Fixed port of the embedded broker. Empty: a free one, remembered."
    )
    device_mqtt_url: str = _setting(
        "",
        "Address under which devices reach the broker, given to them with their credential."
        " Empty: the one that we use.",
    )
    provision_host: str = _setting(
        "127.0.0.1", "Address on which the gateway answers devices at their first contact."
    )
    provision_port: str = _setting(
        "",
        "Port on which the gateway answers devices at their first contact. Empty: a free one,"
        " remembered, with the embedded servers; else none.",
    )
    mqtts_port: str = _setting(
        "",
        "Fixed port of the embedded broker for devices with a certificate (`forecare ca`)."
        " Empty: a free one, remembered.",
    )
    mqtt_tls_port: str = _setting(
        "",
        "Fixed port of the embedded broker for devices with a password over TLS."
        " Empty: a free one, remembered.",
    )
    ca_dir: str = _setting(
        "",
        "Folder of the certificate authority of `forecare ca`. Empty: `ca` in the runtime folder.",
    )
    training: str = _setting(
        "on",
        "Whether the scorer lets products be trained by themselves when enough has failed since the last"
        " time: `on` or `off` (then only `forecare model train` does).",
    )
    dask: str = _setting(
        "",
        "Address of a Dask scheduler (tcp://host:8786) on whose workers devices are scored and products"
        " trained. Empty: here.",
    )
    log_level: str = _setting("info", "debug, info, warning or error.")
    failpoint: str = _setting(
        "",
        "For tests of crashes only: `ingest.after_commit:kill:0.01` kills the process at that point"
        " with that probability.",
    )

    @property
    def runtime_path(self) -> Path:
        return Path(self.runtime_dir) if self.runtime_dir else PROJECT_ROOT / ".runtime"

    @property
    def port(self) -> int:
        if not self.http_port.isdecimal() or not 0 < int(self.http_port) < 65536:
            raise PermanentError(
                f"FORECARE_HTTP_PORT is {self.http_port!r}", hint="give a port from 1 to 65535"
            )
        return int(self.http_port)

    @property
    def trains_by_itself(self) -> bool:
        if self.training not in ("on", "off"):
            raise PermanentError(f"FORECARE_TRAINING is {self.training!r}", hint="write on or off")
        return self.training == "on"

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @cached_property
    def key(self) -> bytes:
        return load_key(self.runtime_path / "secret_key", given=self.secret_key)

    @property
    def shards(self) -> range:
        """The shards (0 to 255) of this ingest process."""
        part, _, parts = self.ingest_shards.partition("/")
        if not (part.isdecimal() and parts.isdecimal() and int(part) < int(parts) <= 256):
            raise PermanentError(
                f"FORECARE_INGEST_SHARDS is {self.ingest_shards!r}",
                hint="write PART/PARTS with PART from 0 to PARTS-1, such as 0/4",
            )
        return range(int(part) * 256 // int(parts), (int(part) + 1) * 256 // int(parts))


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (or a mapping like it).

    Raises
    ------
    PermanentError
        If a FORECARE_ variable is set that no setting has, so that a typing error is not silent.
    """
    environment = os.environ if environment is None else environment
    known = {variable_of(name): name for name in setting_names()}
    given = {key: value for key, value in environment.items() if key.startswith("FORECARE_")}
    unknown = sorted(set(given) - set(known) - _RESERVED)
    if unknown:
        raise PermanentError(
            f"no such setting: {', '.join(unknown)}",
            hint="`forecare settings` lists them all with their meaning",
        )
    return Settings(**{known[key]: value for key, value in given.items() if key in known})


def setting_names() -> tuple[str, ...]:
    return tuple(f.name for f in fields(Settings))


def variable_of(name: str) -> str:
    return f"FORECARE_{name.upper()}"


def settings_markdown() -> str:
    """Write the reference page of all settings."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for f in fields(Settings):
        default = f"`{f.default}`" if f.default else "–"
        lines.append(f"| `{variable_of(f.name)}` | {default} | {f.metadata['about']} |")
    return "\n".join(lines) + "\n"


# Read by the test suite and by helpers of the command line, never by the stages.
_RESERVED = {"FORECARE_TEST_SOFTWARE", "FORECARE_ACCOUNT_PASSWORD"}
