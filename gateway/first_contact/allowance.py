"""How often a product's key may be used: two buckets a key, so that guessing never starves the devices."""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

RIGHT_PER_MINUTE = 600
WRONG_PER_MINUTE = 20
_KEYS_MAX = 1000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Allowance:
    """Token buckets in memory: one gateway, and a restart forgives. The key that was quiet the longest
    is forgotten when there are more than a thousand."""

    def __init__(
        self, *, right_per_minute: int = RIGHT_PER_MINUTE, wrong_per_minute: int = WRONG_PER_MINUTE
    ) -> None:
        self._per_minute = {True: right_per_minute, False: wrong_per_minute}
        self._buckets: OrderedDict[tuple[str, bool], _Bucket] = OrderedDict()

    def wait_s(self, key: str, *, is_right: bool, now_s: float) -> int:
        """Count an attempt; return 0, or after how many seconds the next one counts.

        Parameters
        ----------
        key : str
            As the device gave it, right or wrong.
        is_right : bool
            Whether the secret belongs to it.
        now_s : float
            Seconds of a clock that only goes forward.
        """
        size = float(self._per_minute[is_right])
        bucket = self._buckets.setdefault((key, is_right), _Bucket(size, now_s))
        self._buckets.move_to_end((key, is_right))
        while len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)
        bucket.tokens = min(size, bucket.tokens + (now_s - bucket.at_s) * size / 60)
        bucket.at_s = now_s
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return ceil((1 - bucket.tokens) * 60 / size)
