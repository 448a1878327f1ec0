"""The bare subscriber, a process of its own: `python -m bench.ingest.bare COUNTER`.

Same client library, session and settings as ingest (it takes over ingest's very session), receives
and acknowledges the same messages at QoS 1, and does nothing else: what it reaches is the receive
limit.
"""

import mmap
import signal
import struct
import sys
import threading
from pathlib import Path

from core.endpoints import mqtt_endpoint
from core.settings import load_settings
from gateway.session import Session
from ingest.worker import session_options

_WAIT_S = 0.2
_COUNTER = struct.Struct("<q")


def main(counter: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = load_settings()
    user, options = session_options(settings)
    session = Session(mqtt_endpoint(settings, user), options)
    session.connect()
    with Path(counter).open("r+b") as file, mmap.mmap(file.fileno(), _COUNTER.size) as count:
        received = 0
        print("ready", flush=True)
        while not stop.is_set():
            arrivals = session.receive(_WAIT_S)
            if arrivals:
                session.acknowledge(arrivals)
                received += len(arrivals)
                _COUNTER.pack_into(count, 0, received)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1])
