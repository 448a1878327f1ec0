"""Events with fields for whatever logging the process has set up; never a payload, never a secret."""

import logging
from typing import Any

_logger = logging.getLogger("forecare.firmware_sim")


def info(event: str, **fields: Any) -> None:
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: Any) -> None:
    _logger.warning(event, extra={"fields": fields})
