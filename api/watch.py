"""Says once that the database is away and once that it is back, however many requests notice."""

from threading import Lock

from core.log import get_logger

log = get_logger("api")


class DatabaseWatch:
    """Remembers whether the database answered last time."""

    def __init__(self) -> None:
        self._is_away = False
        self._lock = Lock()

    def is_away(self) -> None:
        """Note that it did not answer."""
        if self._turn(is_away=True):
            log.warning("database.away")

    def is_back(self) -> None:
        """Note that it answered."""
        if self._is_away and self._turn(is_away=False):
            log.info("database.back")

    def _turn(self, *, is_away: bool) -> bool:
        with self._lock:
            is_new = self._is_away != is_away
            self._is_away = is_away
            return is_new
