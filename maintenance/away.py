"""What a worker takes for "later may work": the database is away, restarts, or is too busy."""

import psycopg
from psycopg_pool import PoolTimeout

from core.errors import RetryableError

DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, RetryableError)
