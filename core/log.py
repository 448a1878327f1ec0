"""Structured logs: one JSON object a line on standard error. Events, not sentences; never a secret.

>>> log = get_logger("ingest")
>>> log.info("batch.stored", rows=5000, milliseconds=12)
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

_TEXT_MAX = 2000


class Logger:
    """Writes events with fields. Field names carry their unit."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"forecare.{name}")

    def debug(self, event: str, **fields: Any) -> None:
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error(event, extra={"fields": fields})

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error together with the trace of the exception being handled."""
        self._logger.exception(event, extra={"fields": fields})  # noqa: LOG004 - our caller is in the handler


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name.removeprefix("forecare."),
            "event": record.getMessage()[:_TEXT_MAX],
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)[-_TEXT_MAX:]
        try:
            return _dump(line)
        except TypeError:
            return _dump({_escaped(key): _escaped(value) for key, value in line.items()})


def _dump(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _escaped(value: Any) -> Any:
    """Return what JSON cannot hold (half a character, an integer beyond 64 bits) as Python writes it."""
    try:
        _dump(value)
    except TypeError:
        return ascii(value)
    return value


def get_logger(name: str) -> Logger:
    return Logger(name)


def set_up_logging(level: str) -> None:
    """Send all logs to standard error; libraries speak only from `warning` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("forecare").setLevel(level.upper())
