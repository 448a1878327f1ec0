"""`python -m bench.community`: installs the Community edition for checks and measures its columnstore."""

import sys

from bench.community.lite import PACKAGE, VERSION
from bench.ingest.columnstore import measure_columnstore
from core.settings import load_settings

room = measure_columnstore(load_settings().runtime_path / "community")
if room.columnstore is None:
    print(f"TimescaleDB's Community edition is not to be had here: {room.reason}")
    sys.exit(1)
print(f"{room.versions} ({PACKAGE} {VERSION})")
print(
    f"{room.values:,} values: {room.heap:.2f} bytes a value as rows, {room.columnstore:.2f} as columns"
)
